"""The draws of a fit: the same problem solved again on data that might have been measured instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from isoflop.fitting.evaluation import Batch, Kernel, evaluate, jacobian
from isoflop.fitting.newton import polish
from isoflop.fitting.noise import Noise
from isoflop.fitting.problem import Array, Indices, Problem

Resample = Literal["cases", "runs", "residuals", "wild", "mixed"]
"""cases: runs drawn with replacement; runs: whole trunks drawn with replacement; residuals: residuals drawn with
replacement; wild: the sign of each residual drawn; mixed: errors drawn from the normal model in `fitting.noise`."""
BATCH = 500
"""Draws that are made and solved together; each batch has its own random stream, so memory is bounded."""
TOLERANCE = 1e-6
"""Of the objective: a hundredth of the standard error that the draws are there to measure."""
LARGE = 10_000
"""Runs above which the bootstrap's limit takes its place: it is the same then, and costs no repeated fits."""
ENOUGH = 30
"""Runs (or trunks) from which on drawing them with replacement imitates new data well."""


@dataclass(frozen=True)
class Resampling:
    """How draws are made: scheme, number and seed, which runs belong together (n,), and whom to tell of progress."""

    scheme: Resample
    draws: int
    seed: int
    clusters: Indices
    progress: Callable[[float], None] | None = None


def default_scheme(clusters: Indices) -> Resample:
    """Draw what is independent of each other, runs or trunks, if there is enough of it; else use the normal model."""
    groups = int(clusters.max()) + 1
    if groups < ENOUGH:
        return "mixed"
    return "cases" if groups == len(clusters) else "runs"


def draw(problem: Problem, theta: Array, *, how: Resampling, noise: Noise, kernel: Kernel) -> Array:
    """Optima of resampled problems, in coordinates: (draws, F). The same for the same seed on any machine."""
    if problem.n > LARGE:
        return _normal_draws(problem, theta, how, kernel)
    streams = np.random.SeedSequence(how.seed).spawn(-(-how.draws // BATCH))
    found = []
    for batch, stream in enumerate(streams):
        size = min(BATCH, how.draws - batch * BATCH)
        weights, targets = _sampled(problem, theta, how, noise, (size, np.random.default_rng(stream)))
        one = Batch(problem, kernel, weights, targets)
        found.append(polish(one, np.repeat(theta[None], size, axis=0), tolerance=TOLERANCE, steps=60).theta)
        if how.progress is not None:
            how.progress((batch + 1) / len(streams))
    return np.concatenate(found) if found else np.zeros((0, len(theta)))


def _normal_draws(problem: Problem, theta: Array, how: Resampling, kernel: Kernel) -> Array:
    """What the bootstrap tends to with many runs: normal draws with the sandwich covariance H^-1 (sum g g') H^-1.

    g is the gradient of one cluster's part of the objective (White 1982; by cluster, Liang and Zeger 1986).
    """
    one = Batch.of_one(problem, kernel)
    here = evaluate(one, theta[None], which=one.members(1), delta=problem.penalty.delta)
    residuals = problem.target - problem.predicted(theta[None])[0]
    pull = np.clip(residuals, -problem.penalty.delta, problem.penalty.delta) * problem.weights
    pull = np.where(residuals > 0, problem.penalty.above, 1.0) * pull
    parts = jacobian(problem, theta) * pull[:, None]
    if how.scheme in ("runs", "mixed"):
        sums = np.zeros((int(how.clusters.max()) + 1, len(theta)))
        np.add.at(sums, how.clusters, parts)
        parts = sums
    units = 1.0 / np.sqrt(np.maximum(np.diag(here.majorant[0]), 1e-300))
    units = units * problem.free
    inverse = np.linalg.pinv(here.hessian[0] * units * units[:, None], rcond=1e-12, hermitian=True)
    covariance = inverse @ ((parts.T @ parts) * units * units[:, None]) @ inverse
    rng = np.random.default_rng(how.seed)
    deviations = rng.multivariate_normal(np.zeros(len(theta)), covariance, how.draws, method="eigh") * units
    return np.clip(theta + deviations, problem.low, problem.high)


def _sampled(
    problem: Problem, theta: Array, how: Resampling, noise: Noise, batch: tuple[int, np.random.Generator]
) -> tuple[Array, Array]:
    """(weights, targets) of a batch of resampled problems, each (size or 1, n)."""
    size, rng = batch
    n = problem.n
    if how.scheme in ("cases", "runs"):
        groups = np.arange(n) if how.scheme == "cases" else how.clusters
        return _counts(rng, size, int(groups.max()) + 1)[:, groups] * problem.weights, problem.target[None]
    fitted = problem.predicted(theta[None])[0]
    if how.scheme == "mixed":
        scale, ratio = (one[:, None] for one in noise.draw(size, rng))
        trunks = rng.standard_normal((size, int(how.clusters.max()) + 1))[:, how.clusters]
        return problem.weights[None], fitted + scale * (rng.standard_normal((size, n)) + ratio * trunks)
    residuals = (problem.target - fitted) / np.sqrt(1 - leverage(problem, theta))
    if how.scheme == "residuals":
        centred = residuals - residuals.mean()
        # A little normal noise beside the few values that residuals have: without it, optima of an objective with a
        # kink (Huber with a small delta) jump between the same few runs and vary too little.
        width = residuals.std() * n**-0.2
        drawn = centred[rng.integers(0, n, (size, n))] + width * rng.standard_normal((size, n))
        return problem.weights[None], fitted + drawn
    signs = rng.integers(0, 2, (size, n)) * 2.0 - 1.0
    return problem.weights[None], fitted + residuals * signs / np.sqrt(1 - leverage(problem, theta))


def leverage(problem: Problem, theta: Array) -> Array:
    """The share of each run's error that the law takes up (the hat matrix's diagonal), at most 0.95: shape (n,)."""
    slopes = jacobian(problem, theta)
    units = np.linalg.norm(slopes, axis=0)
    left, singular, _ = np.linalg.svd(slopes / np.where(units > 0, units, 1.0), full_matrices=False)
    share: Array = (left[:, singular > 1e-7 * singular[0]] ** 2).sum(axis=1)
    return np.minimum(share, 0.95)


def _counts(rng: np.random.Generator, size: int, groups: int) -> Array:
    """How often each group is drawn when as many are drawn as there are, with replacement: (size, groups)."""
    picked = rng.integers(0, groups, (size, groups)) + groups * np.arange(size)[:, None]
    return np.bincount(picked.ravel(), minlength=size * groups).reshape(size, groups).astype(np.float64)
