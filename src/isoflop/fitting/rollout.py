"""The fit's own extrapolation, tried on the runs at hand: fit the smaller ones, predict the larger, again and again."""

from __future__ import annotations

import numpy as np

from isoflop.fitting.evaluation import Batch, Kernel, jacobian
from isoflop.fitting.influence import PERFECT
from isoflop.fitting.newton import polish
from isoflop.fitting.problem import Array, Indices, Problem

SIZES = ("N", "D", "C", "x", "params", "tokens", "flops")
"""Variables whose product orders runs from small to large."""
MOST_CUTS = 12
NORMAL_90 = 1.6448536269514722
"""Half of normal errors' 90 % interval, in standard deviations."""


def size_of_runs(problem: Problem) -> Array | None:
    """How large each run is (N times D, or the one size that the law reads); None where it reads no size."""
    columns = [problem.columns[2 * i + 1] for i, name in enumerate(problem.law.variables) if name in SIZES]
    return np.exp(np.sum(columns, axis=0)) if columns else None


def misfit_factor(
    problem: Problem, theta: Array, *, clusters: Indices, noise: tuple[float, float], kernel: Kernel
) -> float:
    """By how much to widen a prediction, because the law did worse on these runs than noise explains; at least 1.

    Errors of predicting larger runs from smaller ones are divided by the standard deviation that noise (`(s, k)` of
    `isoflop.fitting.noise`) and uncertain parameters give them. 90 % of such ratios ought to be within 1.64; the
    factor is what their 90 % quantile has of that.
    """
    size = size_of_runs(problem)
    if size is None or not noise[0] > PERFECT:
        return 1.0  # there is no noise to compare with but rounding
    order = np.argsort(size, kind="stable")
    cuts = _cuts(size[order], problem.n_free)
    if not cuts:
        return 1.0
    keep = np.zeros((len(cuts), problem.n))
    for row, cut in zip(keep, cuts, strict=True):
        row[order[:cut]] = problem.weights[order[:cut]]
    batch = Batch(problem, kernel, keep, problem.target[None])
    found = polish(batch, np.repeat(theta[None], len(cuts), axis=0), tolerance=1e-8, steps=60)
    errors = problem.target - problem.predicted(found.theta)
    slopes = jacobian(problem, theta)
    ratios = [
        np.abs(error[order[cut:]]) / _deviation(slopes, order[:cut], order[cut:], clusters, noise)
        for error, cut in zip(errors, cuts, strict=True)
    ]
    pooled = np.concatenate(ratios)
    pooled = pooled[np.isfinite(pooled)]
    return max(1.0, float(np.quantile(pooled, 0.9)) / NORMAL_90) if len(pooled) else 1.0


def _cuts(sizes: Array, n_parameters: int) -> list[int]:
    """Where to divide runs in order of size: at least half of them, and two more than parameters, on the small side."""
    n = len(sizes)
    cuts = [at for at in range(max(n_parameters + 2, n // 2), n) if sizes[at] > sizes[at - 1] * (1 + 1e-6)]
    if len(cuts) <= MOST_CUTS:
        return cuts
    return [cuts[i] for i in np.linspace(0, len(cuts) - 1, MOST_CUTS).round().astype(int)]


def _deviation(slopes: Array, train: Indices, test: Indices, clusters: Indices, noise: tuple[float, float]) -> Array:
    """Standard deviation of (measured - predicted) for the runs in `test`, by least squares on those in `train`."""
    scale, ratio = noise
    units = np.linalg.norm(slopes, axis=0)
    slopes = slopes / np.where(units > 0, units, 1.0)
    spread = np.linalg.pinv(slopes[train].T @ slopes[train], rcond=1e-10)
    reach = slopes[test] @ spread
    variance = 1.0 + np.einsum("tf,tf->t", reach, slopes[test])
    if ratio > 0:
        trunks = np.eye(int(clusters.max()) + 1)[clusters] * ratio
        variance += ((trunks[test] - reach @ (slopes[train].T @ trunks[train])) ** 2).sum(axis=1)
    deviation: Array = scale * np.sqrt(variance)
    return deviation
