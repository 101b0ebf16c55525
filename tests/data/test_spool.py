"""Text laid down on disk in a stream gives the corpus, the split and the tokens that the whole text in memory gives."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import isoflop
from isoflop.data import CorpusConfig, TokenizerConfig, prepare_tokens, read_corpus
from isoflop.data.corpus import Document, split_documents
from isoflop.data.shards import END_OF_DOCUMENT
from isoflop.data.sources import decoded
from isoflop.data.spool import PIECE_CHARACTERS, SpoolWriter
from isoflop.data.tokens import train_tokenizer
from isoflop.errors import UserError


def odd_corpus(folder: Path) -> Path:
    """Copies, long documents, marks at the beginning, damage, blanks, surrogates, every kind of line end."""
    folder.mkdir()
    for n in range(40):
        (folder / f"{n}.txt").write_text(f"Grüße, 世界, number {n} 😀! " * (7 + n * n), encoding="utf-8")
    for n in range(8):
        (folder / f"copy-{n}.txt").write_text((folder / f"{n}.txt").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "long.txt").write_text("".join(f"word{i % 977} é " for i in range(30_000)), encoding="utf-8")
    (folder / "bom.txt").write_bytes(b"\xef\xbb\xbfmarked at its beginning")
    (folder / "bad.txt").write_bytes(b"\xef\xbb\xbfgood \xff\xfe bad \xe2\x82 and a real \xef\xbf\xbd \xf0\x9f")
    (folder / "blank.txt").write_text(" \n\t")
    halves = [f"row {n} with a lone \ud800 surrogate" if n % 5 == 0 else f"row {n}" for n in range(30)]
    rows = [json.dumps({"text": text, "n": n}) for n, text in enumerate(halves)]
    lines = "\r\n".join(rows[:10]) + "\n\n" + "\r".join(rows[10:20]) + "\n" + "\n".join(rows[20:])
    (folder / "a.jsonl").write_bytes(lines.encode())
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    (folder / "c.txt.gz").write_bytes(gzip.compress(("compressed text \u20ac " * 999).encode(), mtime=0))
    return folder


def tokens_in_memory(train: list[str], valid: list[str], config: TokenizerConfig) -> tuple[str, list[int], list[int]]:
    """The tokenizer and the tokens of both sides, by the plainest way there is."""

    def pieces(text: str) -> list[str]:
        cut = [text[i : i + PIECE_CHARACTERS] for i in range(0, len(text), PIECE_CHARACTERS)]
        return [piece.encode("utf-8", "replace").decode() for piece in cut]

    chunks = [piece for text in train for piece in pieces(text)]
    stride = max(1, round(len(chunks) * 0.618))
    while np.gcd(stride, len(chunks)) != 1:
        stride += 1
    spread = [chunks[i * stride % len(chunks)] for i in range(len(chunks))]
    before = np.cumsum([0, *(len(chunk.encode()) for chunk in spread)])
    bpe = train_tokenizer((chunk for chunk, n in zip(spread, before, strict=False) if n < config.train_bytes), config)
    end = bpe.token_to_id(END_OF_DOCUMENT)
    sides = [
        [i for text in side for p in [*pieces(text), ""] for i in (bpe.encode(p).ids if p else [end])]
        for side in (train, valid)
    ]
    return bpe.to_str(), sides[0], sides[1]


def test_corpus_hash_split_and_tokens_are_those_of_earlier_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hashes were computed by the version that held every corpus in memory."""
    folder = odd_corpus(tmp_path / "text")
    monkeypatch.chdir(folder)
    cases = [
        ("f7e343f8d65b01a5", (str(folder),), 20.0, TokenizerConfig(400, 200_000)),
        ("08c5e7930bb7e6f0", (str(folder / "long.txt"),), 5.0, TokenizerConfig(400)),
        ("5dcb125ffccb5cf2", ("1*.txt",), 0.001, TokenizerConfig(300)),
    ]
    for expected, paths, percent, config in cases:
        corpus = CorpusConfig(paths=paths, valid_percent=percent)
        data, _ = prepare_tokens(corpus, config, cache=tmp_path / expected)
        assert data.corpus_hash == expected
        split = read_corpus(corpus, folder=tmp_path)
        serialised, train, valid = tokens_in_memory(
            [d.text for d in split.train], [d.text for d in split.valid], config
        )
        assert data.tokenizer_hash == hashlib.sha256(serialised.encode()).hexdigest()[:16]
        assert data.train().tolist() == train
        assert data.valid().tolist() == valid


def test_a_split_has_the_documents_of_the_definition(tmp_path: Path) -> None:
    """Whole texts in memory, compared to one another, are the definition; here with many copies."""
    draw = random.Random(0)
    documents = [Document(f"{n}", f"text {draw.randrange(60)}", n % 7 == 0) for n in range(300)]
    split = split_documents(documents, 20.0, folder=tmp_path)
    side_of: dict[str, bool] = {}
    for one in documents:
        hashed = int.from_bytes(hashlib.sha256(one.name.encode()).digest()[:8], "big") / 2**64
        side_of.setdefault(one.text, hashed * 100 < 20.0)
    assert list(split.train) == [one for one in documents if not side_of[one.text]]
    assert list(split.valid) == [one for one in documents if side_of[one.text]]
    assert (split.replaced, split.damaged_documents) == (43, 43)


def test_copies_are_found_in_whatever_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [Document(f"{n}", f"text {n % 70}", 0) for n in range(300)]
    whole = split_documents(documents, 20.0, folder=tmp_path)
    monkeypatch.setattr("isoflop.data.corpus.BUCKET_DOCUMENTS", 7)
    assert [list(side) for side in (whole.train, whole.valid)] == [
        list(side)
        for split in [split_documents(documents, 20.0, folder=tmp_path)]
        for side in (split.train, split.valid)
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64])
def test_blocks_decode_like_the_whole(size: int) -> None:
    draw = random.Random(size)
    words = ["é", "世", "😀", "\ufffd", "plain"]
    for _ in range(200):
        data = b"".join(
            draw.choice([draw.choice(words).encode(), draw.randbytes(draw.randrange(4)), b"\xf0\x9f\x98"])
            for _ in range(9)
        )
        parts = list(decoded(data[i : i + size] for i in range(0, len(data), size)))
        whole = data.decode("utf-8", "replace")
        assert "".join(text for text, _ in parts) == whole
        assert sum(replaced for _, replaced in parts) == whole.count("\ufffd") - data.count("\ufffd".encode())


def test_a_document_is_read_back_piece_by_piece(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path)
    texts = ["a" * (PIECE_CHARACTERS - 1), "é" * PIECE_CHARACTERS, "世" * (2 * PIECE_CHARACTERS + 1)]
    for number, text in enumerate(texts):
        writer.add(f"näme {number}", ((text[i : i + 1000], 0) for i in range(0, len(text), 1000)))
        writer.add("blank", [(" " * 10, 0), ("\n", 0)])
    spool = writer.spool()
    assert [spool.name(number) for number in range(len(spool))] == ["näme 0", "näme 1", "näme 2"]
    assert [[len(piece) for piece in spool.pieces(n)] for n in range(3)] == [
        [PIECE_CHARACTERS - 1],
        [PIECE_CHARACTERS],
        [PIECE_CHARACTERS, PIECE_CHARACTERS, 1],
    ]
    assert ["".join(spool.pieces(number)) for number in range(3)] == texts


def test_nothing_of_the_text_is_left_in_the_folder(tmp_path: Path) -> None:
    folder = odd_corpus(tmp_path / "text")
    split = read_corpus(CorpusConfig(paths=(str(folder),)), folder=tmp_path / "cache")
    assert len(split.train) > 50
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    """The process may write files of 100 kB at most, which is what a disk without room looks like to it."""
    (tmp_path / "big.txt").write_text("text " * 100_000)
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom isoflop.data import CorpusConfig, read_corpus\n"
        "from isoflop.errors import UserError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n    read_corpus(CorpusConfig(paths=(sys.argv[1],)), folder=Path(sys.argv[2]))\n"
        "except UserError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "big.txt"), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(isoflop.__file__).parents[1])},
    )
    assert "make room there" in done.stdout
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


def test_a_document_too_short_to_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too short to be cut"):
        split_documents([Document("one", "a", 0)], 5.0, folder=tmp_path)


@pytest.mark.parametrize("name", ["a.txt.gz", "a.jsonl.gz"])
def test_a_damaged_archive_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b'{"text": "x"}\n' * 1000)[:-9])
    with pytest.raises(UserError, match="can't be read"):
        read_corpus(CorpusConfig(paths=(str(tmp_path / name),)), folder=tmp_path / "cache")
