"""Downstream error behind a plan, and the rate carried over from a small run."""

from __future__ import annotations

import json

import numpy as np
import pytest

import isoflop as iso
from isoflop.errors import UserError
from isoflop.planning.plan_text import plan_text
from isoflop.planning.planner import plan
from isoflop.planning.tasks import task_of
from isoflop.runs import Runs

LAW = "chinchilla:besiroglu2024"
TASK = "task_error:gadre2024_c4_17"


@pytest.fixture(scope="module")
def loss_fit():
    rng = np.random.default_rng(0)
    sizes, data = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 3e10, 5)))
    losses = iso.Law("E + A / N**alpha + B / D**beta").loss(
        {"E": 1.8, "A": 480.0, "B": 2000.0, "alpha": 0.35, "beta": 0.36}, {"N": sizes, "D": data}
    )
    noisy = losses * np.exp(0.004 * rng.standard_normal(len(sizes)))
    return iso.fit(Runs({"params": sizes, "tokens": data, "loss": noisy}), "chinchilla", draws=300)


@pytest.fixture(scope="module")
def task_fit():
    rng = np.random.default_rng(1)
    losses = np.linspace(2.0, 4.0, 16)
    errors = 0.85 - 2.08 * np.exp(-0.756 * losses) + 0.004 * rng.standard_normal(16)
    return iso.fit(Runs({"loss": losses, "error": errors}), "task_error", target="error", draws=300)


def test_a_published_task_law_is_read_at_the_planned_loss() -> None:
    made = plan(LAW, flops=1e21, task=TASK)
    assert made.downstream is not None
    expected = 0.84974201 - 2.07890716 * np.exp(-0.75612088 * made.allocation.loss.value)
    assert made.downstream.value.value == pytest.approx(expected)
    assert "low" not in made.downstream.to_dict()
    assert TASK in plan_text(made)


def test_the_interval_of_the_error_holds_what_is_uncertain_in_both_laws(loss_fit, task_fit) -> None:
    def width(source, task) -> float:
        found = plan(source, flops=1e21, task=task).downstream.value
        assert found.low < found.value < found.high
        return found.high - found.low

    of_loss, of_task, both = width(loss_fit, TASK), width(LAW, task_fit), width(loss_fit, task_fit)
    assert both > max(of_loss, of_task)
    assert both < of_loss + of_task


def test_the_interval_of_the_error_is_that_of_the_loss_where_the_task_law_is_certain(loss_fit) -> None:
    made = plan(loss_fit, flops=1e21, task=TASK)
    law = task_of(TASK)
    low, high = (
        float(law.law.loss(law.values, {"loss": end})) for end in (made.allocation.loss.low, made.allocation.loss.high)
    )
    assert made.downstream.value.low == pytest.approx(low, abs=2e-3)
    assert made.downstream.value.high == pytest.approx(high, abs=2e-3)


def test_a_task_law_that_is_none_is_refused() -> None:
    for source, says in ((LAW, "predicts L|predicts loss"), ("task_error", "without values")):
        with pytest.raises(UserError, match=says):
            plan(LAW, flops=1e21, task=source)


def test_the_plan_as_data_holds_the_error(task_fit) -> None:
    found = json.loads(json.dumps(plan(LAW, flops=1e21, task=task_fit).to_dict()))["downstream"]
    assert found["target"] == "error"
    assert found["low"] < found["value"] < found["high"]
