"""The objective, its gradient and its Hessian for many parameter vectors at once: numpy, or a kernel compiled for it.

With r = target - m, m the law (its logarithm in log space), psi the derivative of the penalty and w a run's weight:
gradient_j = -sum w psi m_j, Hessian_jk = sum w (psi' m_j m_k - psi m_jk). Beside the Hessian goes the matrix of
iteratively re-weighted least squares, sum w (psi / r) m_j m_k, which is positive and leads downhill from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.problem import Array, Indices, Problem
from isoflop.laws.program import argument_names, numpy_function

CHUNK = 1 << 13
"""Runs times draws per pass: the temporaries of one pass then stay in the second-level cache."""


Raw = tuple["Array", "Array", "Array", "Array"]
"""Value, gradient, Hessian and majorant in the parameters themselves."""
Kernel = Callable[["Batch", "Array", "Indices", float], Raw]
"""Sums for the parameters `values` (B, F) on problem `which[b]` (B,) of a batch, with the penalty's delta as given."""


@dataclass(frozen=True)
class Batch:
    """Problems that are solved together: one law and table, with weights and targets of their own or shared."""

    problem: Problem
    kernel: Kernel
    weights: Array
    """(S or 1, n)."""
    targets: Array
    """(S or 1, n)."""

    @staticmethod
    def of_one(problem: Problem, kernel: Kernel) -> Batch:
        """The problem itself, to be solved from many starts."""
        return Batch(problem, kernel, problem.weights[None], problem.target[None])

    def members(self, points: int) -> Indices:
        """Which problem each of so many points belongs to: all to the one there is, or each to its own."""
        single = len(self.weights) == 1 and len(self.targets) == 1
        return np.zeros(points, dtype=np.intp) if single else np.arange(points, dtype=np.intp)

    def rows(self, which: Indices) -> tuple[Array, Array]:
        """Weights and targets of the problems `which`: each (len(which) or 1, n)."""
        weights = self.weights if len(self.weights) == 1 else self.weights[which]
        return weights, self.targets if len(self.targets) == 1 else self.targets[which]


@dataclass(frozen=True)
class Point:
    """The objective at B points, in coordinates."""

    value: Array
    """(B,); infinite where the law is not finite."""
    gradient: Array
    """(B, F)."""
    hessian: Array
    """(B, F, F)."""
    majorant: Array
    """(B, F, F): the positive matrix of iteratively re-weighted least squares."""

    def where(self, rows: NDArray[np.bool_], other: Point) -> Point:
        """`other` in the given rows, this point in the rest."""
        return Point(
            np.where(rows, other.value, self.value),
            np.where(rows[:, None], other.gradient, self.gradient),
            np.where(rows[:, None, None], other.hessian, self.hessian),
            np.where(rows[:, None, None], other.majorant, self.majorant),
        )

    def take(self, rows: Any) -> Point:
        """Some of the points."""
        return Point(self.value[rows], self.gradient[rows], self.hessian[rows], self.majorant[rows])


def evaluate(batch: Batch, theta: Array, *, which: Indices, delta: float) -> Point:
    """The objective of problem `which[b]` at the coordinates `theta[b]`, with the penalty's delta as given."""
    problem = batch.problem
    values = problem.values(theta)
    with np.errstate(all="ignore"):
        value, gradient, hessian, majorant = batch.kernel(batch, values, which, delta)
        slope = np.where(problem.in_log, values, 1.0)
        scale = slope[:, :, None] * slope[:, None, :]
        hessian = hessian * scale
        diagonal = np.einsum("bii->bi", hessian)
        diagonal += np.where(problem.in_log, gradient * slope, 0.0)
        gradient = gradient * slope
        finite = np.isfinite(value) & np.isfinite(gradient).all(axis=1) & np.isfinite(hessian).all(axis=(1, 2))
    value = np.where(finite, value, np.inf)
    return Point(value, gradient, hessian, majorant * scale)


def jacobian(problem: Problem, theta: Array) -> Array:
    """d law / d coordinate at each run, in the problem's space, for one `theta` (F,): (n, F), zero for what is held."""
    values = problem.values(theta[None])
    with np.errstate(all="ignore"):
        law, gradients, _ = _law_and_derivatives(problem)(problem.arguments(values))
    slopes = np.zeros((problem.n, len(theta)))
    rows = np.arange(problem.n)
    for gradient, place in zip(gradients, problem.place, strict=True):
        slopes[rows, np.broadcast_to(place, problem.n)] = np.broadcast_to(gradient, (1, problem.n))[0]
    per_law = 1.0 / np.broadcast_to(law, (1, problem.n))[0] if problem.space == "log" else np.ones(problem.n)
    scaled: Array = slopes * per_law[:, None] * np.where(problem.in_log, values[0], problem.free)
    return scaled


def penalty_value(residual: Array, delta: float, above: float) -> Array:
    """The asymmetric Huber function of each residual."""
    clipped = np.clip(residual, -delta, delta)
    rho = clipped * (residual - 0.5 * clipped)
    return rho if above == 1.0 else np.where(residual > 0, above * rho, rho)


def numpy_kernel(batch: Batch, values: Array, which: Indices, delta: float) -> Raw:
    """`Kernel` in numpy, in chunks of points that fit the cache."""
    step = max(1, CHUNK // batch.problem.n)
    chunks = [slice(at, at + step) for at in range(0, len(values), step)]
    parts = [_numpy_chunk(batch, values[chunk], which[chunk], delta) for chunk in chunks]
    if len(parts) == 1:
        return parts[0]
    value, gradient, hessian, majorant = (np.concatenate([part[i] for part in parts]) for i in range(4))
    return value, gradient, hessian, majorant


def _numpy_chunk(batch: Batch, values: Array, which: Indices, delta: float) -> Raw:
    problem = batch.problem
    weights, targets = batch.rows(which)
    size = (len(values), problem.n)
    law, gradients, seconds = _law_and_derivatives(problem)(problem.arguments(values))
    law = np.broadcast_to(law, size)
    in_log = problem.space == "log"
    residual = targets - (np.log(law) if in_log else law)
    rho, psi, curvature, ratio = _penalty(residual, delta, problem.penalty.above)
    per_law = 1.0 / law if in_log else np.ones(1)
    pull = -weights * psi * per_law
    bend = weights * (curvature + psi if in_log else curvature) * per_law**2
    lift = weights * ratio * per_law**2
    slopes = [np.broadcast_to(one, size) for one in gradients]
    sums = _sums if all(len(place) == 1 for place in problem.place) else _grouped_sums
    gradient, hessian, majorant = sums(problem, slopes, seconds, (pull, bend, lift))
    value = np.einsum("bn,bn->b", np.broadcast_to(weights, size), rho)
    return value, gradient, hessian, majorant


Seconds = dict[tuple[int, int], Array]


def _sums(
    _: Problem, slopes: list[Array], seconds: Seconds, factors: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array]:
    """(gradient, Hessian, majorant) from the law's first and second derivatives, no parameter being indexed."""
    pull, bend, lift = factors
    stacked = np.stack(slopes, axis=1)
    gradient = np.einsum("bjn,bn->bj", stacked, pull)
    # Not matrix products: those may add in another order on another number of threads.
    hessian = np.einsum("bjn,bkn->bjk", stacked * bend[:, None], stacked)
    majorant = np.einsum("bjn,bkn->bjk", stacked * lift[:, None], stacked)
    for (j, k), second in seconds.items():
        sums = np.einsum("bn,bn->b", pull, np.broadcast_to(second, pull.shape))
        hessian[:, j, k] += sums
        if j != k:
            hessian[:, k, j] += sums
    return gradient, hessian, majorant


def _grouped_sums(
    problem: Problem, slopes: list[Array], seconds: Seconds, factors: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array]:
    """`_sums` where a run's parameters are those of its group."""
    pull, bend, lift = factors
    count, total, places = len(pull), len(problem.names), problem.place
    gradient = np.zeros((count, total))
    hessian, majorant = (np.zeros((count, total, total)) for _ in "hm")
    for j, slope in enumerate(slopes):
        _add(gradient, places[j], pull * slope)
        bent, lifted = bend * slope, lift * slope
        for k in range(j + 1):
            second = bent * slopes[k]
            if (j, k) in seconds:
                second = second + pull * seconds[j, k]
            _add_pair(hessian, places[j], places[k], second)
            _add_pair(majorant, places[j], places[k], lifted * slopes[k])
    return gradient, hessian, majorant


def _add(total: Array, place: Indices, terms: Array) -> None:
    """total[b, place[i]] += terms[b, i]."""
    if len(place) == 1:
        total[:, place[0]] += terms.sum(axis=1)
        return
    for flat in np.unique(place):
        total[:, flat] += terms[:, place == flat].sum(axis=1)


def _add_pair(total: Array, first: Indices, second: Indices, terms: Array) -> None:
    """total[b, first[i], second[i]] += terms[b, i], and the mirror image."""
    if len(first) == 1 and len(second) == 1:
        sums = terms.sum(axis=1)
        total[:, first[0], second[0]] = sums
        total[:, second[0], first[0]] = sums
        return
    pairs = np.stack(np.broadcast_arrays(first, second), axis=1)
    for one, other in np.unique(pairs, axis=0):
        sums = terms[:, (pairs == (one, other)).all(axis=1)].sum(axis=1)
        total[:, one, other] += sums
        if one != other:
            total[:, other, one] += sums


def _penalty(residual: Array, delta: float, above: float) -> tuple[Array, Array, Array, Array]:
    """rho, psi, psi' and psi / r of the asymmetric Huber function."""
    size = np.abs(residual)
    inside = size <= delta
    factor = np.where(residual > 0, above, 1.0) if above != 1.0 else np.ones(1)
    if np.isinf(delta):
        return factor * residual**2 / 2, factor * residual, factor * np.ones_like(residual), factor + 0 * residual
    clipped = np.clip(residual, -delta, delta)
    rho = factor * (clipped * residual - clipped**2 / 2)
    ratio = factor * np.where(inside, 1.0, delta / np.maximum(size, 1e-300))
    return rho, factor * clipped, factor * inside, ratio


Derivatives = Callable[[list[Array]], tuple[Array, list[Array], Seconds]]


def _law_and_derivatives(problem: Problem) -> Derivatives:
    """The law's value, gradient and second derivatives as one generated function, kept on the law."""
    kept: Derivatives | None = problem.law.__dict__.get("_second")
    if kept is not None:
        return kept
    law, found = problem.law, problem.law.derivatives
    results = (found.value, *found.gradient, *(node for _, _, node in found.hessian))
    generated = numpy_function(argument_names(law.names, law.variables), found.lets, results)
    pairs = [(i, j) for i, j, _ in found.hessian]
    count = len(found.gradient)

    def second(arguments: list[Array]) -> tuple[Array, list[Array], Seconds]:
        value, *rest = generated(*arguments)
        return value, rest[:count], dict(zip(pairs, rest[count:], strict=True))

    law.__dict__["_second"] = second
    return second
