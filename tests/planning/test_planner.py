"""Whole plans: every way of saying the budget, their money and time, and the command."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest
from typer.testing import CliRunner

import isoflop as iso
from isoflop.cli.app import app
from isoflop.errors import UserError
from isoflop.fitting.status import Status
from isoflop.planning.basis import Basis, basis_of
from isoflop.planning.plan_file import plan_toml
from isoflop.planning.plan_text import plan_text
from isoflop.planning.planner import plan
from isoflop.runs import Runs
from isoflop.shapes import ModelShape

LAW = "chinchilla:besiroglu2024"


def test_the_command_prints_what_scripts_rely_on() -> None:
    result = CliRunner().invoke(app, ["plan", LAW, "--flops", "5.76e23", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert {"params", "tokens", "loss", "tokens_per_param", "shape", "layouts", "hyperparameters"} <= found.keys()
    assert found["params"] == pytest.approx(7.22e10, rel=0.01)
    assert found["tokens"] == pytest.approx(1.33e12, rel=0.01)
    assert found["loss"] == pytest.approx(1.974, abs=0.001)
    assert found["tokens_per_param"] == pytest.approx(found["tokens"] / found["params"])
    assert found["layouts"][0]["mfu"] > found["layouts"][-1]["mfu"]


def test_days_on_devices_are_used_up() -> None:
    made = plan(LAW, gpus="64xh100", days=30)
    assert made.bill.days == pytest.approx(30, rel=0.02)
    assert made.bill.device_hours == pytest.approx(64 * made.bill.days * 24)
    done = made.layouts.choices[0].tokens_per_second * made.bill.days * 86400
    assert done == pytest.approx(made.allocation.tokens.value)


def test_dollars_are_used_up_at_the_price_given() -> None:
    made = plan(LAW, usd=1e6, usd_per_hour=2.0)
    assert made.bill.usd == pytest.approx(1e6, rel=0.02)
    assert made.bill.usd_per_hour == 2.0
    half = plan(LAW, usd=1e6, usd_per_hour=4.0)
    assert half.allocation.flops == pytest.approx(made.allocation.flops / 2, rel=0.1)


@pytest.mark.parametrize(
    "budget",
    [
        {"loss": 2.1},
        {"params": 7e9},
        {"unique_tokens": 1e11},
        {"flops": 1e22, "serve_tokens": 1e13},
        {"flops": 1e22, "tokens_per_param": 100},
        {"flops": 1e15, "gpus": "2xcpu"},
    ],
)
def test_every_budget_makes_a_whole_plan(budget) -> None:
    made = plan(LAW, **budget)
    assert made.layouts.choices
    assert made.bill.usd > 0
    text = plan_text(made)
    assert "FLOPs" in text
    assert "Bill" in text


def test_a_plan_as_toml_gives_the_shape_back() -> None:
    made = plan(LAW, flops=1e22)
    read = tomllib.loads(plan_toml(made))
    assert ModelShape(**read["shape"]) == made.shape
    assert read["train"]["tokens"] == round(made.allocation.tokens.value)
    assert read["train"]["learning_rate"] > 0


def test_every_law_of_rate_and_batch_in_the_catalogue_is_asked_and_named() -> None:
    made = plan(LAW, flops=1e22)
    sources = {one.source for one in made.hyperparameters if one.name in ("learning_rate", "batch")}
    assert len(sources) >= 4
    assert all(one.source for one in made.hyperparameters)
    rates = [one.value for one in made.hyperparameters if one.name == "learning_rate"]
    assert all(1e-5 < rate < 1e-2 for rate in rates)


def test_a_fit_that_should_not_be_believed_says_so_first() -> None:
    known = basis_of(LAW)
    doubtful = Basis(known.law, known.values, "fit", status=(Status("at_bound", "alpha is at its bound: widen it."),))
    text = plan_text(plan(doubtful, flops=1e22))
    assert text.startswith("Read first")
    assert text.index("alpha is at its bound") < text.index("parameters")
    assert plan(doubtful, flops=1e22).to_dict()["status"] == [
        {"code": "at_bound", "message": "alpha is at its bound: widen it."}
    ]


def test_a_fit_is_planned_on_from_its_file_with_intervals_and_its_status_first(tmp_path) -> None:
    rng = np.random.default_rng(0)
    params, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 3e10, 5)))
    loss = basis_of(LAW).loss(params, tokens) * np.exp(0.002 * rng.standard_normal(len(params)))
    fit = iso.fit(Runs({"params": params, "tokens": tokens, "loss": loss}), "chinchilla", draws=200)
    path = tmp_path / "fit.json"
    path.write_text(fit.to_json(), encoding="utf-8")
    result = CliRunner().invoke(app, ["plan", str(path), "--flops", "1e21", "--ladder-flops", "1e19", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    for name in ("params", "tokens", "loss", "tokens_per_param"):
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]
    assert any(one["code"] == "extrapolates" for one in found["status"])
    assert list(found).index("status") < list(found).index("params")
    assert found["ladder"]["flops"] <= 1e19


def test_a_file_that_is_no_fit_is_refused(tmp_path) -> None:
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(UserError, match="no fit"):
        plan(tmp_path / "no.json", flops=1e21)
    with pytest.raises(UserError, match="can't be read"):
        plan(str(tmp_path / "absent.json"), flops=1e21)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"days": 3}, "Days need devices"),
        ({"days": 3, "gpus": "8xh100", "flops": 1e20}, "already are a budget"),
        ({"usd": -1}, "positive"),
        ({"flops": 1e13, "context": 10**8}, "less than one sequence"),
        ({"flops": 1e15, "batch_tokens": 10**12}, "less than one batch"),
        ({"flops": 1e20, "gpus": "8xh10"}, "did you mean h100"),
    ],
)
def test_a_plan_that_can_not_be_made_is_refused(asked, says: str) -> None:
    with pytest.raises(UserError, match=says):
        plan(LAW, **asked)


def test_the_package_offers_the_planner() -> None:
    assert iso.plan is plan
    assert iso.allocate(LAW, flops=1e20).params.value > 0
    assert iso.layouts(iso.published_shape("llama-3-8b"), "h100", 8).choices


@pytest.mark.parametrize(
    ("gpus", "days"),
    [("2xcpu", 1), ("8xh100", 1), ("8xrtx4090", 14), ("1000xh100", 10), ("4096xa100", 45), ("100000xh100", 90)],
)
def test_days_are_used_up_on_any_machine(gpus: str, days: float) -> None:
    made = plan(LAW, gpus=gpus, days=days)
    assert made.bill.days == pytest.approx(days, rel=0.01)
    assert made.allocation.flops == pytest.approx(6 * made.allocation.params.value * made.allocation.tokens.value)


def test_a_run_whose_layout_jumps_says_that_its_size_is_held() -> None:
    made = plan(LAW, gpus="100000xh100", days=90)
    assert any("are held" in note for note in made.allocation.notes)
    given = plan(LAW, gpus="100000xh100", days=90, tokens_per_param=20)
    assert given.allocation.tokens_per_param.value == pytest.approx(20)


def test_a_rate_fitted_at_such_sizes_comes_before_an_extrapolated_one() -> None:
    found = [one for one in plan(LAW, flops=3e18).hyperparameters if one.name == "learning_rate"]
    assert [bool(one.outside) for one in found] == [False, True]
    assert found[0].rule == "lr_of_compute:deepseek2024"
    assert found[1].outside == "N from 2.15e+08"


def test_where_every_rate_is_extrapolated_the_smallest_comes_first_and_the_text_says_so() -> None:
    made = plan(LAW, flops=1e11, gpus="2xcpu")
    found = [one.value for one in made.hyperparameters if one.name == "learning_rate"]
    assert found == sorted(found)
    assert "outside of the range it was fitted on: C 1e+17 to 2e+19" in plan_text(made)


def test_a_loss_above_guessing_is_not_to_be_believed_and_says_so() -> None:
    assert any("alike" in note for note in plan(LAW, flops=3e10, gpus="2xcpu").allocation.notes)
    assert not plan(LAW, flops=1e19, gpus="8xh100").allocation.notes
