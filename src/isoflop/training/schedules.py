"""Schedules of the learning rate over one run, by name; every one warms up first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from isoflop.errors import UserError
from isoflop.training.schedule import Schedule

COSINE_FLOOR = 0.1
"""A cosine ends at a tenth of its peak (Hoffmann et al. 2022, arXiv 2203.15556, appendix B)."""


@dataclass(frozen=True)
class RunSchedule:
    """The factor on the peak rate at each of `steps` steps, of which the first `warmup_steps` rise linearly to 1.

    | kind | after the warm-up | source |
    | --- | --- | --- |
    | wsd | constant; over the last `cooldown_fraction` linear towards zero | Hägele et al. 2024, 2405.18392 |
    | cosine | half a cosine, to a tenth | Loshchilov & Hutter 2017, 1608.03983 |
    | linear | a line towards zero | Bergsma et al. 2025, 2502.15938 |
    | constant | 1 | |
    | inverse-sqrt | √(warmup_steps / step) | Vaswani et al. 2017, 1706.03762, eq. 3 |
    """

    kind: str
    steps: int
    warmup_steps: int = 0
    cooldown_fraction: float = 0.2

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise UserError(f"No schedule is called {self.kind!r}: choose one of {', '.join(SCHEDULES)}.")
        if not 0 <= self.warmup_steps <= self.steps:
            raise UserError(f"A warm-up of {self.warmup_steps} steps does not fit into a run of {self.steps}.")

    def factor(self, step: int) -> float:
        """The factor at `step`, counted from 0; above zero at the last."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        return SCHEDULES[self.kind](self, step)

    def progress(self, step: int) -> float:
        """The share of what follows the warm-up that is over before `step`."""
        return (step - self.warmup_steps) / (self.steps - self.warmup_steps)


def _wsd(schedule: RunSchedule, step: int) -> float:
    trunk = Schedule(schedule.warmup_steps, schedule.cooldown_fraction)
    length = trunk.cooldown_steps(schedule.steps)
    into = step - (schedule.steps - length)
    return trunk.cooldown(into, length) if into >= 0 else trunk.trunk(step)


def _cosine(schedule: RunSchedule, step: int) -> float:
    return COSINE_FLOOR + (1 - COSINE_FLOOR) * (1 + math.cos(math.pi * schedule.progress(step))) / 2


def _linear(schedule: RunSchedule, step: int) -> float:
    return 1 - schedule.progress(step)


def _constant(schedule: RunSchedule, step: int) -> float:
    del schedule, step  # the same throughout
    return 1.0


def _inverse_sqrt(schedule: RunSchedule, step: int) -> float:
    return math.sqrt(max(schedule.warmup_steps, 1) / (step + 1))


SCHEDULES: Mapping[str, Callable[[RunSchedule, int], float]] = {
    "wsd": _wsd,
    "cosine": _cosine,
    "linear": _linear,
    "constant": _constant,
    "inverse-sqrt": _inverse_sqrt,
}
