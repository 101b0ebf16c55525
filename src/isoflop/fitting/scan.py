"""Where to start: a low-discrepancy scan of the parameters that enter nonlinearly, the others solved for each time."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from isoflop.fitting.evaluation import penalty_value
from isoflop.fitting.problem import Array, Problem
from isoflop.laws import Law
from isoflop.laws.parsing import Node
from isoflop.laws.program import argument_names, lowered, numpy_function, symbols
from isoflop.laws.roles import basis_of

MOST_ROWS = 128
"""Runs that the scan looks at; polishing then uses all of them."""
CHUNK = 128
"""Points that are worked on together, so that the temporaries stay in the cache."""
LOCATION_MARGIN = 0.25
"""How far, in spans of the data, a location may lie outside of them."""
SCALE_MARGIN = (1e-2, 1e4)
"""How far, in multiples of what it is compared with, a scale may lie below and above the data."""


def scan(problem: Problem, n_points: int, n_starts: int) -> Array:
    """The best point of each of `n_starts` interleaved parts of the scan: (n_starts, F), in coordinates, best first.

    A part is itself spread over the whole box, so that the starts are good and yet not all of one basin.
    """
    problem = _thinned(problem)
    law = problem.law
    nonlinear = [i for i, one in enumerate(law.parameters) if one.name not in law.linear and not one.held]
    if not nonlinear:
        n_points = n_starts = 1
    unit = _kronecker(n_points, len(nonlinear))
    # What is held has its value from here on; linear parameters are solved for, within a range that may be one value.
    values = np.repeat(np.where(problem.free, 1.0, problem.low)[None], n_points, axis=0)
    for column, parameter in enumerate(nonlinear):
        place = np.unique(problem.place[parameter])
        values[:, place] = _spread(problem, parameter, unit[:, column])[:, None]
    score = np.concatenate([_solve_linear(problem, values[at : at + CHUNK]) for at in range(0, n_points, CHUNK)])
    best = [int(part[np.argmin(score[part])]) for part in np.array_split(np.arange(n_points), n_starts)]
    chosen = sorted((i for i in best if np.isfinite(score[i])), key=lambda i: float(score[i]))
    return problem.coordinates(values[chosen])


def _thinned(problem: Problem) -> Problem:
    """The problem on at most `MOST_ROWS` runs, evenly spaced in the order of the target."""
    if problem.n <= MOST_ROWS:
        return problem
    order = np.argsort(problem.target, kind="stable")
    rows = order[np.linspace(0, problem.n - 1, MOST_ROWS).round().astype(np.intp)]
    return problem.take(np.unique(rows))


def _kronecker(count: int, dimensions: int) -> Array:
    """`count` points spread evenly over the unit cube: multiples of powers of 1 / g, g**(d+1) = g + 1, modulo 1."""
    golden = 2.0
    for _ in range(60):
        golden = (1.0 + golden) ** (1.0 / (dimensions + 1))
    steps = golden ** -np.arange(1.0, dimensions + 1)
    points: Array = np.mod(0.5 + np.arange(count)[:, None] * steps, 1.0)
    return points


def _spread(problem: Problem, parameter: int, unit: Array) -> Array:
    """Numbers from 0 to 1 as values of one parameter, over the part of its range where data can tell."""
    law = problem.law
    one = law.parameters[parameter]
    companion = law.parts[one.name].companion
    compared = np.ones(1) if companion is None else _sizes(problem, companion)
    if one.role == "location":
        margin = LOCATION_MARGIN * float(compared.max() - compared.min())
        low, high = max(one.low, float(compared.min()) - margin), min(one.high, float(compared.max()) + margin)
        return low + (high - low) * unit
    if one.role == "exponent" or one.low < 0:
        low, high = max(one.low, -10.0), min(one.high, 10.0)
        return low + (high - low) * (unit**2 if low >= 0 else unit)  # small exponents are the common ones
    low, high = 1e-3, 1e3
    size = np.abs(compared[compared != 0])
    if companion is not None and len(size):
        low, high = float(size.min()) * SCALE_MARGIN[0], float(size.max()) * SCALE_MARGIN[1]
    if math.isfinite(one.high):
        low, high = min(low, one.high * 1e-6), one.high
    if one.low > 0:
        low, high = one.low, max(high, one.low * 1e3) if not math.isfinite(one.high) else one.high
    spread: Array = low * (high / low) ** unit
    return spread


def _sizes(problem: Problem, companion: Node) -> Array:
    """The finite values that `companion` has over the runs, or a 1 where there is none."""
    (value,) = _generated(problem.law, (companion,))(*problem.arguments(np.ones((1, len(problem.names)))))
    values: Array = np.ravel(value)
    values = values[np.isfinite(values)]
    return values if len(values) else np.ones(1)


@lru_cache(maxsize=64)
def _basis(law: Law) -> Callable[..., Any]:
    """What computes the law without its linear parameters, then the function that each of those multiplies."""
    offset, functions = basis_of(law.tree, law.linear)
    return _generated(law, (offset, *functions))


def _generated(law: Law, nodes: tuple[Node, ...]) -> Callable[..., Any]:
    symbol = symbols(law.names, law.variables)
    return numpy_function(argument_names(law.names, law.variables), (), [lowered(node, symbol) for node in nodes])


def _solve_linear(problem: Problem, values: Array) -> Array:
    """The objective at each row of `values`, into which the best linear parameters within range are written.

    Best in relative least squares (plain ones in raw space): near enough to the objective's own to rank starts by.
    """
    linear = problem.law.linear
    size = (len(values), problem.n)
    with np.errstate(all="ignore"):
        law, *columns = (np.broadcast_to(one, size) for one in _basis(problem.law)(*problem.arguments(values)))
        if linear:
            flats, basis = _flat_basis(problem, columns)
            usable = np.isfinite(basis).all(axis=(1, 2)) & np.isfinite(law).all(axis=1)
            losses = np.exp(problem.target) if problem.space == "log" else problem.target
            weights = problem.weights / losses**2 if problem.space == "log" else problem.weights
            low, high = problem.values(problem.low)[flats], problem.values(problem.high)[flats]
            goal = losses - law[usable]
            values[np.ix_(usable, flats)] = _bounded_least_squares(basis[usable], goal, weights, low, high)
            law = law + np.einsum("bk,bkn->bn", values[:, flats], basis)
        residual = problem.target - (np.log(law) if problem.space == "log" else law)
        score = penalty_value(residual, problem.penalty.delta, problem.penalty.above) @ problem.weights
    return np.where(np.isfinite(score), score, np.inf)


def _flat_basis(problem: Problem, columns: list[Array]) -> tuple[list[int], Array]:
    """(flat positions, their functions (B, K, n)) of the linear parameters: zero off the group of an indexed one."""
    flats: list[int] = []
    basis: list[Array] = []
    for name, column in zip(problem.law.linear, columns, strict=True):
        place = problem.place[problem.law.names.index(name)]
        for flat in np.unique(place):
            flats.append(int(flat))
            basis.append(column if len(place) == 1 else column * (place == flat))
    return flats, np.stack(basis, axis=1)


def _bounded_least_squares(basis: Array, goal: Array, weights: Array, low: Array, high: Array) -> Array:
    """min sum_i w_i (goal_bi - sum_k x_bk basis_bki)^2 for each b, by fixing at its bound what leaves the range.

    basis (B, K, n), goal (B, n), weights (n,) -> (B, K). Exact where nothing is at a bound, else near to it.
    """
    weighted = basis * weights
    gram = weighted @ basis.transpose(0, 2, 1)
    right = np.einsum("bkn,bn->bk", weighted, goal)
    scale = 1.0 / np.sqrt(np.maximum(np.einsum("bkk->bk", gram), 1e-300))
    gram = gram * scale[:, :, None] * scale[:, None, :]
    count = gram.shape[1]
    gram[:, range(count), range(count)] += 1e-12
    right, low, high = right * scale, low / scale, high / scale
    fixed = np.zeros(right.shape, dtype=bool)
    solution = np.zeros_like(right)
    for _ in range(count + 1):
        known = np.where(fixed, solution, 0.0)
        rest = np.where(fixed, known, right - np.einsum("bkl,bl->bk", gram, known))
        matrix = np.where(fixed[:, :, None] | fixed[:, None, :], np.eye(count), gram)
        solution = np.linalg.solve(matrix, rest[:, :, None])[:, :, 0]
        out = (solution < low) | (solution > high)
        if not out.any():
            break
        fixed |= out
        solution = np.clip(solution, low, high)
    bounded: Array = solution * scale
    return bounded
