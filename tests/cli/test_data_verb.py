"""`isoflop data origin` names the document of a token."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from isoflop.cli.app import app
from isoflop.data import CorpusConfig, TokenizerConfig, prepare_tokens


def test_a_token_is_named_with_its_document_and_text(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    for number in range(20):
        (tmp_path / "text" / f"{number}.txt").write_text(f"text {number} of many " * 9)
    data, _ = prepare_tokens(CorpusConfig((str(tmp_path / "text"),)), TokenizerConfig(300), cache=tmp_path / "cache")
    place = data.train_tokens // 2
    found = data.origin("train", place)
    result = CliRunner().invoke(app, ["data", "origin", str(data.folder), str(place), "--around", "3"])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == f"{found.document}, token {found.offset}"
    assert CliRunner().invoke(app, ["data", "origin", str(data.folder), str(10**9)]).exit_code != 0
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"config": {"tokens": str(data.folder)}}))
    assert CliRunner().invoke(app, ["data", "origin", str(run), str(place), "--around", "3"]).stdout == result.stdout
    assert "no folder of tokens" in str(CliRunner().invoke(app, ["data", "origin", str(tmp_path), "0"]).exception)
