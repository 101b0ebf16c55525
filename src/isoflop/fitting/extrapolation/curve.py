"""One learning curve carried on beyond its end: several laws, each weighted by how it carried on the curve's own tail.

Two choices were made on the train rows of the 61 curves in alabdulmohsin_benchmark.csv, by predicting their last factor
of two, and the one before, from what comes earlier (`benchmarks/extrapolation.py --inner`). Rows count in proportion to
x, because the law that a curve follows far out is not the one it starts with: M2's error on images there falls from 3.6
to 2.1 %. And laws are averaged, because the one that carried on the tail best often does not carry on the whole best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import UserError
from isoflop.fitting.kernels import kernel_for
from isoflop.fitting.objectives import Huber
from isoflop.fitting.problem import build_problem
from isoflop.fitting.rollout import NORMAL_90
from isoflop.fitting.solver import solve
from isoflop.laws import Law, resolve
from isoflop.runs import Runs

Array = NDArray[np.float64]
AUTO = ("m2", "m3")
"""The laws that `auto` averages: a power law that flattens by a constant, and one that flattens by a bend."""
TAIL = 2.0
"""Each held-out tail reaches this much further in x than what it is predicted from."""
TAILS = 2
STARTS = 256


@dataclass(frozen=True)
class Member:
    """One law of the average, fitted to all rows, its weight, and its error on the held-out tails (root mean square of
    the log; NaN where the curve is too short to hold any out)."""

    name: str
    law: Law
    values: dict[str, float]
    weight: float
    tail_error: float


@dataclass(frozen=True)
class Extension:
    """A curve's continuation: log loss is the weighted mean of the members' log losses."""

    members: tuple[Member, ...]
    end: float
    """The largest x fitted."""
    noise: float
    """Standard deviation of a row about the average, in log loss."""
    tail_error: float
    """Root mean square error of the average, in log loss, on the held-out tails; 0 where none could be held out."""

    @property
    def name(self) -> str:
        """`0.62 m2 + 0.38 m3`, or the law's name where there is one."""
        if len(self.members) == 1:
            return self.members[0].name
        return " + ".join(f"{one.weight:.2f} {one.name}" for one in self.members)

    def predict(self, x: Array) -> tuple[Array, Array, Array]:
        """(value, low, high) of the loss at `x` (n,): the 90 % interval for a row that will be measured.

        Variances add up in log loss: noise; the error on held-out tails, in proportion to log x beyond the first
        factor of two; and what the members differ by.
        """
        each = np.log([one.law.loss(one.values, {"x": x / self.end}) for one in self.members])
        weights = np.array([one.weight for one in self.members])
        middle = weights @ each
        between = weights @ (each - middle) ** 2
        steps = np.maximum(1.0, np.log(np.maximum(x / self.end, 1.0)) / np.log(TAIL))
        reach = NORMAL_90 * np.sqrt(self.noise**2 + (self.tail_error * steps) ** 2 + between)
        return np.exp(middle), np.exp(middle - reach), np.exp(middle + reach)


def extend(x: Array, loss: Array, laws: Sequence[str] = AUTO) -> Extension:
    """Average `laws` (of one variable x) over the curve `loss` (n,) at `x` (n,), weights told by its own tail.

    Each law is fitted to the rows up to half the largest x, and to those up to a quarter, and predicts the factor of
    two that follows; its weight is the inverse of its mean square error there. Raises `UserError` where there are fewer
    rows than any of the laws has parameters.
    """
    found = {name: resolve(name)[0] for name in laws}
    usable = {name: law for name, law in found.items() if len(law.names) <= len(x)}
    if not usable:
        fewest = min(len(law.names) for law in found.values())
        raise UserError(f"A curve of {len(x)} rows is too short for {', '.join(laws)}: give {fewest} rows or more.")
    end = float(x.max())
    fits = {name: _fitted(law, x, loss, end) for name, law in usable.items()}
    errors, measured = _tail_errors(usable, x, loss)
    squares = np.array([np.mean(error**2) if len(error) else np.nan for error in errors])
    weights = _weights(squares)
    each = np.array([np.log(law.loss(fits[name], {"x": x / end})) for name, law in usable.items()])
    members = tuple(
        Member(name, law, fits[name], float(weight), float(np.sqrt(square)))
        for (name, law), weight, square in zip(usable.items(), weights, squares, strict=True)
    )
    together = weights @ errors if measured else np.zeros(1)
    spare = len(x) / max(len(x) - max(len(law.names) for law in usable.values()), 1)
    residual = np.log(loss) - weights @ each
    noise = float(np.sqrt(spare * np.average(residual**2, weights=x)))
    return Extension(members, end, noise, float(np.sqrt(np.mean(together**2))))


def _fitted(law: Law, x: Array, loss: Array, unit: float) -> dict[str, float]:
    """The law's values for x in units of `unit`, rows counting in proportion to x."""
    runs = Runs({"x": x / unit, "loss": loss})
    problem = build_problem(law, runs, target="loss", objective=Huber(), space="log")
    problem = replace(problem, weights=x / x.max())
    solution = solve(problem, kernel_for(problem, 0), starts=STARTS)
    return dict(zip(problem.names, problem.values(solution.theta[None])[0].tolist(), strict=True))


def _tail_errors(laws: dict[str, Law], x: Array, loss: Array) -> tuple[Array, int]:
    """(log errors on the held-out tails, one row per law; how many rows were held out)."""
    need = max(len(law.names) for law in laws.values()) + 1
    end, parts = float(x.max()), []
    for step in range(1, TAILS + 1):
        before = x <= end / TAIL**step * (1 + 1e-9)
        tail = ~before & (x <= end / TAIL ** (step - 1) * (1 + 1e-9))
        if before.sum() < need or not tail.any():
            continue
        fits = {name: _fitted(law, x[before], loss[before], end) for name, law in laws.items()}
        predicted = [law.loss(fits[name], {"x": x[tail] / end}) for name, law in laws.items()]
        parts.append(np.log(np.array(predicted)) - np.log(loss[tail]))
    return (np.concatenate(parts, axis=1) if parts else np.zeros((len(laws), 0))), len(parts)


def _weights(squares: Array) -> Array:
    if not np.isfinite(squares).all():
        return np.full(len(squares), 1.0 / len(squares))
    inverse = 1.0 / np.maximum(squares, 1e-12)
    weights: Array = inverse / inverse.sum()
    return weights
