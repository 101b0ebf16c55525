"""`isoflop evaluate`: its table, its record, and one sentence for each mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.evaluation.conftest import TEXT, write_model
from typer.testing import CliRunner, Result

from isoflop.cli.app import app
from isoflop.errors import UserError

runner = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models `a` and `b` with different tokenizers, an encoder `e`, and a text."""
    made = tmp_path_factory.mktemp("evaluate")
    write_model(made / "a", seed=0)
    write_model(made / "b", seed=1, vocab=280)
    write_model(made / "e", seed=2, stack="encoder")
    (made / "text.txt").write_text(TEXT, encoding="utf-8")
    return made


@pytest.fixture
def evaluate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> Result:
        return runner.invoke(app, ["evaluate", *map(str, arguments)])

    return run


def test_one_model_has_a_line_for_each_figure_and_a_record(
    evaluate: Callable[..., Result], folder: Path, tmp_path: Path
) -> None:
    done = evaluate(folder / "a", folder / "text.txt", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    figures = {one["name"]: one["of"][0] for one in record["figures"]}
    assert list(figures) == ["bits per byte", "nats per token", "perplexity"]
    for name, one in figures.items():
        assert one["low"] < one["value"] < one["high"]
        assert f"{one['value']:.4f}" in next(line for line in done.output.splitlines() if name in line)
    assert record["data"]["bytes"] == len(TEXT.encode())
    assert max(map(len, done.output.splitlines()[:-1])) <= 80


def test_two_tokenizers_are_compared_by_the_byte_only(evaluate: Callable[..., Result], folder: Path) -> None:
    done = evaluate(folder / "a", folder / "text.txt", "--against", folder / "b")
    assert done.exit_code == 0, done.output
    assert done.output.count("difference") == 1
    assert "bits per byte compare" in " ".join(done.output.split())
    assert max(map(len, done.output.splitlines()[:-1])) <= 80


def test_an_encoder_has_no_perplexity(evaluate: Callable[..., Result], folder: Path) -> None:
    done = evaluate(folder / "e", folder / "text.txt")
    assert "masked nats" in done.output
    assert "perplexity" not in done.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a",), "nothing to measure on"),
        (("nowhere", "text.txt"), "no folder or GGUF file"),
        (("a", "nowhere.txt"), "no file, folder or pattern"),
        (("a", "text.txt", "--window", "100"), "--window"),
        (("a", "text.txt", "--against", "e"), "no comparison"),
        (("a", "text.txt", "--level", "95"), "between 0 and 1"),
        (("a", "text.txt", "--harness", "hellaswag"), "bring their own data"),
        (("a", "text.txt", "--calibrate", "text.txt"), "one fine-tuned classifier"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    evaluate: Callable[..., Result], folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    named = [one if one.startswith("-") or not one[0].isalpha() else str(folder / one) for one in arguments]
    done = evaluate(*named)
    assert isinstance(done.exception, UserError)
    assert sentence in str(done.exception)
