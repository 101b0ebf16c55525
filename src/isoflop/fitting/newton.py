"""Damped Newton from many points at once, inside the ranges of the parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.fitting.evaluation import Batch, Point, evaluate
from isoflop.fitting.problem import Array, Indices, Problem

ROUNDING = 1e-13
"""Relative difference of two sums that may be rounding alone; between such points the gradient decides."""
SMALLEST_DAMPING = 1e-3


@dataclass(frozen=True)
class Polished:
    """Where Newton came to from each of B starts."""

    theta: Array
    """(B, F), in coordinates."""
    value: Array
    """(B,): the objective, before the penalty's scale."""
    decrement: Array
    """(B,): by how much, relative to the objective, the next Newton step would still lower it."""
    converged: np.ndarray[tuple[int], np.dtype[np.bool_]]
    gradient: Array
    """(B, F): zero where a range holds the parameter back."""


def polish(
    batch: Batch, theta: Array, *, delta: float | None = None, tolerance: float = 1e-12, steps: int = 100
) -> Polished:
    """Newton from each row of `theta` (B, F), on the problem of a batch that it belongs to.

    It goes on until a step would gain less than `tolerance` of the objective. The step solves
    ((1 - d) Hessian + d majorant) step = -gradient with a damping d of its own for each start: 0 is Newton, 1 is
    re-weighted least squares, more a shorter step of that. A step is taken only if the objective falls.
    """
    delta = batch.problem.penalty.delta if delta is None else delta
    with np.errstate(all="ignore"):  # where the law is not finite the objective is infinite, and no step leads there
        return _polish(batch, theta, (delta, tolerance, steps))


def _polish(batch: Batch, theta: Array, how: tuple[float, float, int]) -> Polished:
    problem, which = batch.problem, batch.members(len(theta))
    delta, tolerance, steps = how
    theta = np.clip(theta, problem.low, problem.high)
    weights, _ = batch.rows(which)
    floor = np.broadcast_to(problem.perfect * weights.sum(axis=1), len(theta)).copy()
    here = evaluate(batch, theta, which=which, delta=delta)
    theta = theta.copy()
    damping = np.zeros(len(theta))
    decrement, converged = np.full(len(theta), np.inf), np.zeros(len(theta), dtype=bool)
    active = np.flatnonzero(np.isfinite(here.value))
    for _ in range(steps):
        if not len(active):
            break
        now = here.take(active)
        step, gain = _step(problem, theta[active], now, damping[active])
        scale = now.value + floor[active]
        decrement[active] = gain / scale
        trial = np.clip(theta[active] + step, problem.low, problem.high)
        there = evaluate(batch, trial, which=which[active], delta=delta)
        better = _is_better(there, now)
        good = (now.value - there.value) >= 0.25 * gain
        _write(here, active, now.where(better, there))
        theta[active[better]] = trial[better]
        finished = (gain <= tolerance * scale) & (better | (gain <= 1e-3 * tolerance * scale) | (damping[active] > 1e3))
        converged[active[finished]] = True
        damping[active] = _next_damping(damping[active], better, good)
        active = active[~finished & (damping[active] < 1e12)]
    gradient = np.where(_held(problem, theta, here.gradient), 0.0, here.gradient)
    return Polished(theta, here.value, decrement, converged | (here.value <= floor), gradient)


def _is_better(there: Point, now: Point) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    level = there.value <= now.value + ROUNDING * np.abs(now.value)
    steeper = _steepness(there) >= _steepness(now)
    better: np.ndarray[tuple[int], np.dtype[np.bool_]] = (there.value < now.value - ROUNDING * np.abs(now.value)) | (
        level & ~steeper
    )
    return better


def _steepness(point: Point) -> Array:
    steepness: Array = (point.gradient**2 / np.maximum(np.einsum("bii->bi", point.majorant), 1e-300)).sum(axis=1)
    return steepness


def _step(problem: Problem, theta: Array, now: Point, damping: Array) -> tuple[Array, Array]:
    """(step, expected gain), both (B, ...); where the damped matrix leads uphill, the majorant's step instead."""
    held = _held(problem, theta, now.gradient)
    blend = np.minimum(damping, 1.0)[:, None, None]
    stretch = np.maximum(damping, 1.0)[:, None, None]
    matrix = (1.0 - blend) * now.hessian + blend * stretch * now.majorant
    step = _solve(matrix, now, held)
    gain = _gain(step, matrix, now)
    uphill = ~(gain > 0) | (np.einsum("bi,bi->b", step, now.gradient) >= 0)
    if uphill.any():
        safe = stretch * now.majorant
        other = _solve(safe[uphill], now.take(uphill), held[uphill])
        step[uphill] = other
        gain[uphill] = _gain(other, safe[uphill], now.take(uphill))
    return step, np.maximum(gain, 0.0)


def _solve(matrix: Array, now: Point, held: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> Array:
    """-matrix^-1 gradient with the held parameters kept still, scaled so that no direction is numerically lost."""
    scale = 1.0 / np.sqrt(np.maximum(np.einsum("bii->bi", now.majorant), 1e-300))
    scaled = matrix * scale[:, :, None] * scale[:, None, :]
    count = matrix.shape[1]
    diagonal = np.arange(count)
    scaled[:, diagonal, diagonal] += 1e-13
    if held.any():
        scaled = np.where(held[:, :, None] | held[:, None, :], np.eye(count), scaled)
    right = np.where(held, 0.0, -now.gradient * scale)
    try:
        solution = np.linalg.solve(scaled, right[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        solution = (np.linalg.pinv(scaled) @ right[:, :, None])[:, :, 0]
    step: Array = solution * scale
    return step


def _gain(step: Array, matrix: Array, now: Point) -> Array:
    slope = np.einsum("bi,bi->b", step, now.gradient)
    gain: Array = -slope - 0.5 * np.einsum("bi,bij,bj->b", step, matrix, step)
    return gain


def _held(problem: Problem, theta: Array, gradient: Array) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    held: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
    held = ((theta <= problem.low) & (gradient > 0)) | ((theta >= problem.high) & (gradient < 0))
    return held | ~problem.free


def _next_damping(damping: Array, better: np.ndarray, good: np.ndarray) -> Array:
    smaller = np.where(damping / 8 < SMALLEST_DAMPING, 0.0, damping / 8)
    larger = np.maximum(damping * 4, 0.1)
    return np.where(better & good, smaller, np.where(better, np.maximum(damping, SMALLEST_DAMPING), larger))


def _write(point: Point, rows: Indices, other: Point) -> None:
    point.value[rows] = other.value
    point.gradient[rows] = other.gradient
    point.hessian[rows] = other.hessian
    point.majorant[rows] = other.majorant
