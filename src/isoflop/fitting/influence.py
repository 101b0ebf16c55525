"""Which runs decide a fit: leave one out, see how far the parameters move, and go on while one still moves them far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.fitting.evaluation import Batch, Kernel, jacobian
from isoflop.fitting.newton import polish
from isoflop.fitting.problem import Array, Indices, Problem

MOST_CANDIDATES = 300
"""Runs that are left out in turn; of larger tables those with the largest product of residual and leverage."""
PERFECT = 1e-9
"""Residuals below this are rounding: no run of such a table is odd."""
WORK = 10_000_000
"""Candidates times runs that are looked at in a round."""
FORCE = 6.0
"""What makes a run decisive: the standard errors by which it moves a parameter (DFBETAS, Belsley et al. 1980), times
the residual scales by which the fit to the others misses it. 1 times 6 is too much in a large table."""
MOST_SHARE = 20
"""At most one run in so many is looked for."""
MOST_RUNS = 12
LARGE = 50_000
"""Runs from which on no dozen of them decides a fit whose objective bounds their pull."""


@dataclass(frozen=True)
class Influence:
    """The runs without which the fit is another, and the optimum (F,) in coordinates that it then has."""

    rows: tuple[int, ...]
    theta: Array


def influential_runs(problem: Problem, theta: Array, *, kernel: Kernel) -> Influence:
    """Leave out the run with the largest force on the fit, as long as that is more than `FORCE`; perhaps none."""
    weights = problem.weights.copy()
    left_out: list[int] = []
    if problem.n > LARGE:
        return Influence((), theta)
    spare = max(problem.n - problem.n_free, 1)
    force_needed = FORCE * (1 + 40 / spare)  # of few runs each moves the fit, and is missed by the others, much more
    for _ in range(int(np.clip(problem.n // MOST_SHARE, 1, MOST_RUNS))):
        rows = _candidates(problem, theta, weights)
        without = np.repeat(weights[None], len(rows), axis=0)
        without[np.arange(len(rows)), rows] = 0.0
        batch = Batch(problem, kernel, without, problem.target[None])
        found = polish(batch, np.repeat(theta[None], len(rows), axis=0), tolerance=1e-8, steps=60)
        scale, errors = _standard_errors(problem, theta, weights)
        if scale < PERFECT:
            break
        moves = np.abs(found.theta - theta) / errors
        missed = np.abs(problem.target[rows] - problem.predicted(found.theta)[np.arange(len(rows)), rows])
        force = np.nan_to_num(moves.max(axis=1) * missed / scale)
        worst = int(np.argmax(force))
        if force[worst] < force_needed:
            break
        left_out.append(int(rows[worst]))
        weights[rows[worst]] = 0.0
        theta = found.theta[worst]
    return Influence(tuple(left_out), theta)


def _candidates(problem: Problem, theta: Array, weights: Array) -> Indices:
    rows = np.flatnonzero(weights > 0)
    most = min(MOST_CANDIDATES, max(20, WORK // problem.n))
    if len(rows) <= most:
        return rows
    residuals = problem.target - problem.predicted(theta[None])[0]
    slopes = jacobian(problem, theta)
    pull = np.abs(residuals) * np.linalg.norm(slopes / np.maximum(np.linalg.norm(slopes, axis=0), 1e-300), axis=1)
    return np.sort(rows[np.argsort(-pull[rows], kind="stable")[:most]])


def _standard_errors(problem: Problem, theta: Array, weights: Array) -> tuple[float, Array]:
    """Scale of the middle residuals, which no outlier moves, and standard errors (F,) by the Fisher information."""
    used = weights > 0
    residuals = np.abs(problem.target - problem.predicted(theta[None])[0])[used]
    spare = max(int(used.sum()) - problem.n_free, 1)
    scale = 1.4826 * float(np.median(residuals)) * np.sqrt(used.sum() / spare)
    slopes = jacobian(problem, theta)[used]
    units = np.maximum(np.linalg.norm(slopes, axis=0), 1e-300)
    information = (slopes / units).T @ (slopes / units)
    variances = np.maximum(np.diag(np.linalg.pinv(information, rcond=1e-12)), 0.0)
    errors: Array = scale * np.sqrt(variances) / units
    return scale, np.maximum(errors, 1e-12)
