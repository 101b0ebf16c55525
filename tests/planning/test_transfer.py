"""The learning rate of a small run, carried over by its parametrisation."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from tests.runs.conftest import RUN

from isoflop.errors import UserError
from isoflop.planning.plan_file import plan_toml
from isoflop.planning.plan_text import plan_text
from isoflop.planning.planner import plan
from isoflop.runs import Run, write_run
from isoflop.shapes import ModelShape

LAW = "chinchilla:besiroglu2024"
SHAPE = ModelShape(2, 64, 2, 512, 32, 176, norm="plain")
OPTIMIZER = {"kind": "adamw", "lr": 0.7, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.98, "eps": 1e-12}
SMALL = replace(RUN, shape=SHAPE.to_dict(), optimizer=OPTIMIZER)


@pytest.fixture
def folder(tmp_path: Path):
    def write(run: Run) -> Path:
        write_run(tmp_path / "run", run, [])
        return tmp_path / "run"

    return write


@pytest.mark.parametrize("name", ["mup", "u-mup", "completep"])
def test_the_rate_stands_beside_the_published_ones_with_its_rule(folder, name: str) -> None:
    where = folder(replace(SMALL, parametrization=name))
    made = plan(LAW, flops=1e20, from_run=where)
    rates = [one for one in made.hyperparameters if one.name == "learning_rate"]
    assert rates[0].value == 0.7
    assert rates[0].rule.startswith(name)
    assert str(where) in rates[0].source
    assert len(rates) >= 3
    assert "arXiv" in rates[0].rule + rates[0].source
    assert "".join(f"{rates[0].rule} ({rates[0].source})".split()) in "".join(plan_text(made).split())


def test_the_plan_file_says_where_the_rate_was_tuned(folder) -> None:
    read = tomllib.loads(plan_toml(plan(LAW, flops=1e20, from_run=folder(SMALL))))
    assert ModelShape(**read["base"]) == SHAPE
    assert read["train"]["parametrization"] == "mup"
    assert read["shape"]["tied"] is False
    assert tomllib.loads(plan_toml(plan(LAW, flops=1e20)))["shape"]["tied"] is True
    assert read["train"]["learning_rate"] == 0.7
    assert read["train"]["weight_decay"] == 0.01
    assert read["optimizer"] == {"name": "adamw", "beta1": 0.9, "beta2": 0.98, "eps": 1e-12}


def test_the_base_of_a_run_that_was_transferred_itself_is_kept(folder) -> None:
    base = replace(SHAPE, width=32, ffn=88)
    read = plan(LAW, flops=1e20, from_run=folder(replace(SMALL, config={"base": base.to_dict()})))
    assert read.base == base


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"parametrization": "sp"}, "by no known rule"),
        ({"status": "diverged", "loss": None}, "diverged"),
        ({"optimizer": {"kind": "adamw", "lr": 0.7}}, "does not say weight_decay"),
    ],
)
def test_a_run_that_carries_nothing_over_is_refused(folder, change, says: str) -> None:
    with pytest.raises(UserError, match=says):
        plan(LAW, flops=1e20, from_run=folder(replace(SMALL, **change)))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run record"):
        plan(LAW, flops=1e20, from_run=tmp_path)
