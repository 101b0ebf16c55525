"""`Problem`: a law and a table of runs as the arrays that the solver works on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import UserError
from isoflop.fitting.objectives import Objective, Penalty, penalty_of
from isoflop.laws import Law
from isoflop.laws.law import Parameter
from isoflop.laws.program import columns_for
from isoflop.runs import Runs

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Space = Literal["log", "raw"]

LOG_COORDINATES = ("coefficient", "scale", "shape")
"""Roles whose parameters move by factors, so that the solver works on their logarithm."""
POSITIVE = frozenset(("N", "D", "C", "U", "params", "tokens", "flops", "unique_tokens", "lr", "batch"))
"""Columns that make no sense at or below zero."""
SMALLEST, LARGEST = 1e-100, 1e100
RESIDUAL_FLOOR = 1e-18
"""Squared residual, relative to the target's size, below which it is rounding."""


@dataclass(frozen=True)
class Problem:
    """Minimise the sum over runs of weight * penalty(target - law), all in `space`.

    Shapes: n runs, P parameters of the law, F >= P flat parameters (one per group where a parameter is indexed).
    The solver moves in coordinates: log(parameter) where `in_log`, else the parameter itself.
    """

    law: Law
    columns: tuple[Array, ...]
    """v0, l0, v1, l1, … of `isoflop.laws.program`, each (n,)."""
    target: Array
    """(n,): the measured loss, or its logarithm."""
    weights: Array
    space: Space
    penalty: Penalty
    names: tuple[str, ...]
    """(F,): `alpha`, or `E[c4]` where indexed."""
    place: tuple[Indices, ...]
    """For each of the P parameters, its flat position for each run: (n,), or (1,) where it is the same for all."""
    low: Array
    high: Array
    """(F,): range in coordinates."""
    in_log: NDArray[np.bool_]

    @property
    def n(self) -> int:
        """How many runs."""
        return len(self.target)

    def values(self, theta: Array) -> Array:
        """Parameters from coordinates; the last axis has F entries."""
        return np.where(self.in_log, np.exp(np.minimum(np.where(self.in_log, theta, 0.0), 700.0)), theta)

    def coordinates(self, values: Array) -> Array:
        """Coordinates from parameters, moved into their range."""
        logs = np.log(np.maximum(np.where(self.in_log, values, 1.0), SMALLEST))
        return np.clip(np.where(self.in_log, logs, values), self.low, self.high)

    def arguments(self, values: Array) -> list[Array]:
        """What generated functions take, for `values` of shape (B, F): parameters as (B, 1) or (B, n), then columns."""
        return [*(values[:, place] for place in self.place), *self.columns]

    def predicted(self, theta: Array) -> Array:
        """The law, in `space`, for coordinates of shape (B, F): (B, n)."""
        with np.errstate(all="ignore"):
            (value,) = self.law._value(*self.arguments(self.values(theta)))
            value = np.broadcast_to(value, (len(theta), self.n))
            return np.log(value) if self.space == "log" else value

    @cached_property
    def free(self) -> NDArray[np.bool_]:
        """(F,): which flat parameters are fitted, the others being held at one value."""
        return self.low < self.high

    @property
    def n_free(self) -> int:
        """How many flat parameters are fitted."""
        return int(self.free.sum())

    @cached_property
    def perfect(self) -> float:
        """The objective per unit of weight below which the law goes through every run, to rounding."""
        return float(RESIDUAL_FLOOR * (1.0 if self.space == "log" else np.median(np.abs(self.target)) ** 2))

    @cached_property
    def of_parameter(self) -> tuple[int, ...]:
        """(F,): which parameter of the law each flat one belongs to."""
        owner = [0] * len(self.names)
        for parameter, place in enumerate(self.place):
            for flat in np.unique(place):
                owner[int(flat)] = parameter
        return tuple(owner)

    @cached_property
    def stacked(self) -> Array:
        """The columns as one matrix, (2 * variables, n)."""
        return np.ascontiguousarray(np.stack(self.columns))

    def take(self, rows: Indices) -> Problem:
        """The same problem on some of the runs."""
        return Problem(
            law=self.law,
            columns=tuple(column[rows] for column in self.columns),
            target=self.target[rows],
            weights=self.weights[rows],
            space=self.space,
            penalty=self.penalty,
            names=self.names,
            place=tuple(place if len(place) == 1 else place[rows] for place in self.place),
            low=self.low,
            high=self.high,
            in_log=self.in_log,
        )


def build_problem(law: Law, runs: Runs, *, target: str, objective: Objective, space: Space) -> Problem:
    """The `Problem` of fitting `law` to `runs`, all of weight 1, whose columns `usable_rows` has found usable."""
    losses = np.asarray(runs[target], dtype=np.float64)
    goal = np.log(losses) if space == "log" else losses
    names: list[str] = []
    places: list[Indices] = []
    owners: list[int] = []
    for position, parameter in enumerate(law.parameters):
        levels, place = [parameter.name], np.zeros(1, dtype=np.intp)
        if parameter.index is not None:
            groups, place = np.unique(np.asarray(runs[parameter.index]), return_inverse=True)
            levels = [f"{parameter.name}[{group}]" for group in groups]
        places.append(np.asarray(place, dtype=np.intp) + len(names))
        names += levels
        owners += [position] * len(levels)
    in_log = np.array([_moves_by_factors(law.parameters[i]) for i in owners])
    low = np.array([_bound(law.parameters[i].low, bool(log)) for i, log in zip(owners, in_log, strict=True)])
    high = np.array([_bound(law.parameters[i].high, bool(log)) for i, log in zip(owners, in_log, strict=True)])
    return Problem(
        law=law,
        columns=tuple(columns_for({name: np.asarray(runs[name], dtype=np.float64) for name in law.variables})),
        target=goal,
        weights=np.ones(len(goal)),
        space=space,
        penalty=penalty_of(objective, 1.0 if space == "log" else float(np.median(np.abs(goal)))),
        names=tuple(names),
        place=tuple(places),
        low=low,
        high=high,
        in_log=in_log,
    )


def usable_rows(runs: Runs, law: Law, target: str, space: Space) -> tuple[Indices, tuple[str, ...]]:
    """(positions of the runs that can be fitted, one sentence per reason for which others can't).

    Raises `UserError` where a column is missing or holds text, or where no run is left.
    """
    keep = np.ones(len(runs), dtype=bool)
    reasons: list[str] = []
    for name in (target, *law.variables):
        column = numeric_column(runs, name)
        must_be_positive = name in POSITIVE or (name == target and space == "log")
        for bad, why in _bad_rows(column, name, must_be_positive):
            bad = bad & keep
            if bad.any():
                reasons.append(f"{int(bad.sum())} of {len(runs)} runs left out: {why}.")
                keep &= ~bad
    for name in _index_columns(law):
        empty = keep & np.array([str(one).strip() in ("", "nan") for one in runs[name]], dtype=bool)
        if empty.any():
            reasons.append(f"{int(empty.sum())} of {len(runs)} runs left out: {name} is empty.")
            keep &= ~empty
    if not keep.any():
        raise UserError(f"{runs.source} has no run that can be fitted: {' '.join(reasons) or 'it is empty.'}")
    return np.flatnonzero(keep), tuple(reasons)


def numeric_column(runs: Runs, name: str) -> Array:
    """The column `name` as float64. Raises `UserError` naming the first cell that is no number."""
    column = runs[name]
    try:
        return np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        for row, cell in enumerate(column):
            try:
                float(cell)
            except (TypeError, ValueError):
                raise UserError(
                    f"{runs.source}, column {name}, run {row + 1}: {str(cell)!r} is no number; correct or empty it."
                ) from None
        raise


def _bad_rows(column: Array, name: str, must_be_positive: bool) -> Sequence[tuple[NDArray[np.bool_], str]]:
    with np.errstate(invalid="ignore"):
        found = [(np.isnan(column), f"{name} is missing"), (np.isinf(column), f"{name} is infinite")]
        size = np.abs(column)
        found.append(((size > LARGEST) | ((size < SMALLEST) & (size > 0)), f"{name} is beyond 1e100 or within 1e-100"))
        if must_be_positive:
            found.append((column < 0, f"{name} is negative"))
            found.append((column == 0, f"{name} is zero"))
    return found


def _index_columns(law: Law) -> list[str]:
    return list(dict.fromkeys(one.index for one in law.parameters if one.index is not None))


def _moves_by_factors(parameter: Parameter) -> bool:
    return parameter.role in LOG_COORDINATES and parameter.low >= 0 and not parameter.held


def _bound(value: float, in_log: bool) -> float:
    return math.log(min(max(value, SMALLEST), LARGEST)) if in_log else value
