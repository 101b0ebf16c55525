"""Schedules follow their formulas, warm up, and end where they should."""

from __future__ import annotations

import math

import pytest

from isoflop.errors import UserError
from isoflop.training import SCHEDULES, RunSchedule, Schedule

BY_HAND = {
    "cosine": lambda n: 0.1 + 0.9 * (1 + math.cos(math.pi * (n - 10) / 90)) / 2,
    "linear": lambda n: (100 - n) / 90,
    "constant": lambda n: 1.0,
    "inverse-sqrt": lambda n: math.sqrt(10 / (n + 1)),
    "wsd": lambda n: 1.0 if n < 75 else (100 - n) / 26,
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_each_is_its_formula_after_a_linear_warm_up(kind: str) -> None:
    schedule = RunSchedule(kind, 100, 10, cooldown_fraction=0.25)
    assert [schedule.factor(n) for n in range(10)] == pytest.approx([(n + 1) / 10 for n in range(10)])
    assert [schedule.factor(n) for n in range(10, 100)] == pytest.approx([BY_HAND[kind](n) for n in range(10, 100)])


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 1), (7, 7), (7, 0), (1000, 3)])
def test_no_step_is_without_a_rate_and_none_above_the_peak(kind: str, steps: int, warmup: int) -> None:
    schedule = RunSchedule(kind, steps, warmup)
    assert all(0 < schedule.factor(n) <= 1 for n in range(steps))


def test_wsd_is_the_trunk_and_the_cool_down_of_a_study() -> None:
    trunk = Schedule(warmup_steps=4, cooldown_fraction=0.3)
    length = trunk.cooldown_steps(50)
    expected = [trunk.trunk(n) for n in range(50 - length)] + [trunk.cooldown(n, length) for n in range(length)]
    run = RunSchedule("wsd", 50, 4, cooldown_fraction=0.3)
    assert [run.factor(n) for n in range(50)] == expected


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="choose one of wsd, cosine"):
        RunSchedule("exponential", 10)
    with pytest.raises(UserError, match="warm-up of 11 steps does not fit"):
        RunSchedule("linear", 10, 11)
