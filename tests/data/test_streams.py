"""A data set is read in a stream, and a reading that was killed goes on from its position to the same tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import isoflop
from isoflop.data import CorpusConfig, TokenizerConfig, prepare_tokens, read_corpus
from isoflop.errors import UserError

datasets = pytest.importorskip("datasets", reason="the package 'datasets' (isoflop[data]) is not installed")

ROWS = 3000
SCRIPT = """
import os, signal, sys
from pathlib import Path
import isoflop.data.streams as streams
from isoflop.data import CorpusConfig, TokenizerConfig, prepare_tokens
streams.SAVE_ROWS = 400
stop, seen = int(sys.argv[3]), []
add = streams.SpoolWriter.add
def counted(self, name, parts):
    seen.append(name)
    if len(seen) > stop:
        os.kill(os.getpid(), signal.SIGKILL)
    add(self, name, parts)
streams.SpoolWriter.add = counted
corpus = CorpusConfig(dataset="json", paths=(sys.argv[1],))
data, _ = prepare_tokens(corpus, TokenizerConfig(vocab=300), cache=Path(sys.argv[2]))
print(*seen[:1], len(seen), data.folder)
"""


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    texts = [f"row {n} of the table, " * (n % 7) for n in range(ROWS)]
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return path


def run(rows: Path, cache: Path, *, stop: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(isoflop.__file__).parents[1])}
    command = [sys.executable, "-c", SCRIPT, str(rows), str(cache), str(stop)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_killed_reading_goes_on_from_its_position_to_the_same_tokens(rows: Path, tmp_path: Path) -> None:
    whole = run(rows, tmp_path / "whole", stop=10**9).stdout.split()
    assert whole[:2] == ["json:1", str(ROWS)]
    assert run(rows, tmp_path / "cut", stop=1500).returncode == -9
    assert run(rows, tmp_path / "cut", stop=100).returncode == -9
    first, count, folder = run(rows, tmp_path / "cut", stop=10**9).stdout.split()
    assert (first, int(count)) == ("json:1201", ROWS - 1200)
    for name in ("train.bin", "valid.bin", "tokenizer.json", "train.documents", "train.names", "tokens.json"):
        assert (Path(folder) / name).read_bytes() == (Path(whole[2]) / name).read_bytes()


def test_what_was_read_is_not_read_again_and_changed_files_are(rows: Path, tmp_path: Path) -> None:
    config = CorpusConfig(dataset="json", paths=(str(rows),))
    before = read_corpus(config, folder=tmp_path / "cache").content_hash
    # Were a row read again, the process would be killed by it.
    assert run(rows, tmp_path / "cache", stop=0).stdout.split()[0] == "0"
    assert read_corpus(config, folder=tmp_path / "cache").content_hash == before
    rows.write_text('{"text": "other text"}\n{"text": "and more"}\n')
    os.utime(rows, (1, 1))
    assert len(read_corpus(config, folder=tmp_path / "cache").train) == 1


def test_rows_are_named_by_number_and_a_missing_column_is_one_sentence(rows: Path, tmp_path: Path) -> None:
    data, _ = prepare_tokens(
        CorpusConfig(dataset="json", paths=(str(rows),)), TokenizerConfig(vocab=300), cache=tmp_path / "cache"
    )
    assert data.origin("train", 0).document in ("json:2", "json:3")
    with pytest.raises(UserError, match="no column 'body'"):
        read_corpus(CorpusConfig(dataset="json", paths=(str(rows),), column="body"), folder=tmp_path / "cache")
