"""No verb ignores an option in silence or works for minutes towards a place that can't be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isoflop.errors import UserError
from isoflop.runs.published_tables import TABLES

Command = Callable[..., tuple[int, str, str]]

PLAN = """
schema = 1
[shape]
layers = 1
width = 16
heads = 1
ffn = 32
vocab = 300
context = 16
[train]
tokens = 4096
batch_tokens = 256
learning_rate = 1.0
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("backtest runs.csv --x tokens", ["--x", "--group"]),
        ("backtest runs.csv --test split=test", ["--test", "--group"]),
        ("multiverse runs.csv --flops 1e20 --params 3", ["one thing"]),
        ("multiverse runs.csv --flops 1e20 --tokens 3", ["one thing"]),
        ("train plan.toml --device gpu", ["'gpu'", "cpu or cuda"]),
        ("coord-check sp --out file", ["Cannot write file"]),
        ("transfer sp --out file/folder", ["Cannot write file/folder"]),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(command: Command, arguments: str, words: list[str]) -> None:
    Path("runs.csv").write_text("params,tokens,loss\n" + "".join(f"{10**n},{20 * 10**n},3.{n}\n" for n in range(5, 9)))
    Path("plan.toml").write_text(PLAN)
    Path("file").write_text("kept")
    code, _, errors = command(*arguments.split())
    assert code == 2, errors
    assert len(errors.splitlines()) == 1
    for word in words:
        assert word in errors


@pytest.mark.parametrize(
    "arguments", ["transfer sp --processes 0", "transfer sp --steps -1", "coord-check sp --seeds 0"]
)
def test_a_number_below_one_is_refused_by_its_name(command: Command, arguments: str) -> None:
    code, _, errors = command(*arguments.split())
    assert code == 2
    assert arguments.split()[2] in errors


def test_names_of_published_tables_can_be_copied_from_eighty_columns(command: Command) -> None:
    code, text, _ = command("runs", "published")
    assert code == 0
    for name in TABLES:
        assert f"published:{name} " in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_training_is_not_mixed_with_a_study(tmp_path: Path) -> None:
    from isoflop.study.config import StudyConfig
    from isoflop.study.study import settle_settings
    from isoflop.training import read_plan
    from isoflop.training.pretraining import settle

    (tmp_path / "study.json").write_text("{}")
    (tmp_path / "plan.toml").write_text(PLAN)
    with pytest.raises(UserError, match="holds a study"):
        settle(read_plan(tmp_path / "plan.toml"), tmp_path, divided=False)
    (tmp_path / "study.json").unlink()
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(UserError, match="holds a training"):
        settle_settings(StudyConfig(), tmp_path)
