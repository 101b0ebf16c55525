"""The best fit there is, and the evidence for it: a scan of the ranges, then Newton from the best of every part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.errors import UserError
from isoflop.fitting.evaluation import Batch, Kernel
from isoflop.fitting.newton import Polished, polish
from isoflop.fitting.problem import Array, Problem
from isoflop.fitting.scan import scan
from isoflop.laws import Law

AGREE = 1e-9
"""Relative difference of the objective below which two polishes have found the same optimum."""

ENOUGH_AGREE = 3
"""Polishes that must have found the best optimum before the search ends."""
NEARLY = 1e-6
"""Relative difference that counts as agreeing there: in a flat valley the last digits take long and say nothing new."""
MOST_STARTS, MOST_POLISHES = 32_768, 512
MOST_ROUNDS = 3
"""How many times to look again, each time from four times as many points."""


@dataclass(frozen=True)
class Certificate:
    """Evidence that a fit is the global optimum of its objective."""

    starts: int
    """Points that were scanned."""
    polishes: int
    """Starts from which Newton was run."""
    agree: int
    """How many of those ended at the best objective (within 1e-9 of it, relative, or through every run as it does)."""
    converged: bool
    """Whether the best one met the tolerance."""
    gradient_norm: float
    """Norm of the gradient there in the solver's coordinates, relative to the objective; 0 along ranges that hold."""
    next_best: float | None
    """The objective of the best other local optimum that a polish ended at, or None."""


@dataclass(frozen=True)
class Solution:
    """The optimum in coordinates, its objective, and the certificate."""

    theta: Array
    value: float
    certificate: Certificate


def default_starts(problem: Problem) -> int:
    """How many points to scan: 128 times their number squared for q that enter nonlinearly, 128 to 4,096."""
    return int(np.clip(128 * _n_nonlinear(problem.law) ** 2, 128, 4096))


def _n_nonlinear(law: Law) -> int:
    return sum(one.name not in law.linear and not one.held for one in law.parameters)


def solve(problem: Problem, kernel: Kernel, *, starts: int | None = None) -> Solution:
    """The global optimum of `problem`, from the best of so many points of its ranges.

    Without `starts` it looks four times harder, up to three times, while fewer than three polishes agree. Raises
    `UserError` where the law is finite at no point of its ranges.
    """
    count = default_starts(problem) if starts is None else starts
    nonlinear = _n_nonlinear(problem.law)
    wanted = min(count, 8 * max(1, nonlinear // 2))
    found = _from_scan(problem, kernel, count, wanted)
    for _ in range(MOST_ROUNDS if nonlinear and starts is None else 0):
        if _agreeing(problem, found.value, NEARLY) >= min(ENOUGH_AGREE, len(found.value)):
            break
        count, wanted = min(4 * count, MOST_STARTS), min(4 * wanted, MOST_POLISHES)
        found = _joined(found, _from_scan(problem, kernel, count, wanted))
    best = int(np.argmin(found.value))
    theta, gradient = _last_steps(problem, found.theta[best], kernel)
    value, scale = float(found.value[best]), problem.penalty.scale
    others = found.value[(found.value > value + _slack(problem, value, AGREE)) & found.converged]
    certificate = Certificate(
        starts=count,
        polishes=len(found.value),
        agree=_agreeing(problem, found.value, AGREE),
        converged=bool(found.converged[best]),
        gradient_norm=float(np.linalg.norm(gradient) / value) if value > _perfect(problem) else 0.0,
        next_best=float(others.min()) * scale if len(others) else None,
    )
    return Solution(theta, value * scale, certificate)


def _from_scan(problem: Problem, kernel: Kernel, count: int, wanted: int) -> Polished:
    theta = scan(problem, count, wanted)
    if not len(theta):
        raise UserError(
            f"{problem.law.formula} has no finite value on these runs for any parameters in range: check the units of "
            f"{', '.join(problem.law.variables)}, or give ranges such as Law(formula, alpha=(0.01, 1.5))."
        )
    return polish_one(problem, theta, kernel)


def _slack(problem: Problem, value: float, share: float) -> float:
    return share * value if value > _perfect(problem) else _perfect(problem)


def _perfect(problem: Problem) -> float:
    return problem.perfect * float(problem.weights.sum())


def _agreeing(problem: Problem, values: Array, share: float) -> int:
    best = float(values.min())
    return int((values <= best + _slack(problem, best, share)).sum())


def _joined(first: Polished, second: Polished) -> Polished:
    return Polished(
        theta=np.concatenate([first.theta, second.theta]),
        value=np.concatenate([first.value, second.value]),
        decrement=np.concatenate([first.decrement, second.decrement]),
        converged=np.concatenate([first.converged, second.converged]),
        gradient=np.concatenate([first.gradient, second.gradient]),
    )


def polish_one(problem: Problem, theta: Array, kernel: Kernel, *, tolerance: float = 1e-13) -> Polished:
    """Newton from each row of `theta` on the problem itself; a narrow penalty is approached through wider ones."""
    batch = Batch.of_one(problem, kernel)
    for delta in _widths(problem, theta):
        theta = polish(batch, theta, delta=delta, tolerance=1e-3, steps=15).theta
    return polish(batch, theta, tolerance=tolerance, steps=200)


def _last_steps(problem: Problem, theta: Array, kernel: Kernel) -> tuple[Array, Array]:
    """(coordinates, gradient) after Newton has gone as far as rounding lets it."""
    end = polish(Batch.of_one(problem, kernel), theta[None], tolerance=1e-20, steps=8)
    return end.theta[0], end.gradient[0]


def _widths(problem: Problem, theta: Array) -> list[float]:
    """Deltas from the size of the residuals down to the penalty's, so that each stage starts near its optimum."""
    size = float(np.nanmedian(np.abs(problem.target - problem.predicted(theta[:1]))))
    widths: list[float] = []
    while size > 10 * problem.penalty.delta and len(widths) < 12:
        widths.append(size)
        size /= 10
    return widths
