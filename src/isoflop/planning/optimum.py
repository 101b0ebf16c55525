"""Optima on a law's own formula: the best split of a budget, and the cheapest way to a loss.

Everything is one-dimensional in u = log N: a budget leaves D = C / 6N, a loss leaves the D that reaches it. A grid
brackets the least value, however many minima a formula has; the zero of the slope is then bisected, the slope being
a five-point difference, which is good to about 1e-11 where the value itself would only be good to 1e-8.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import UserError
from isoflop.planning.basis import TRAIN, Basis

Array = NDArray[np.float64]
SERVE = 2.0
"""FLOPs per parameter and token of serving: the forward pass alone."""
GRID = 481
STEP = 0.01
"""Of the five-point difference, in log N."""
SMALLEST, LARGEST = 1.0, 1e22


@dataclass(frozen=True)
class Point:
    """A size, an amount of data (tokens seen) and the loss there."""

    params: float
    tokens: float
    loss: float

    @property
    def flops(self) -> float:
        """Training FLOPs, 6 N D."""
        return TRAIN * self.params * self.tokens


def best_split(basis: Basis, flops: float, *, unique: float | None = None) -> Point:
    """The size and data of least loss for `flops` of training. Raises `UserError` where there is no such size."""

    def loss(u: Array) -> Array:
        params = np.exp(u)
        return basis.loss(params, flops / (TRAIN * params), unique=unique)

    u = _least(loss, math.log(SMALLEST), math.log(max(flops / TRAIN, 10.0)), basis)
    params = math.exp(u)
    tokens = flops / (TRAIN * params)
    return Point(params, tokens, float(basis.loss(params, tokens, unique=unique)))


def cheapest(basis: Basis, loss: float, *, serve_tokens: float = 0.0, unique: float | None = None) -> Point:
    """The size and data that reach `loss` with the fewest FLOPs of training and of serving `serve_tokens`.

    Minimises 6 N D + 2 N D_serve on the contour L(N, D) = loss (Sardana et al. 2024, arXiv 2401.00448, equation 2).
    Raises `UserError` where the loss is at or below the law's floor.
    """
    _above_floor(basis, loss)

    def cost(u: Array) -> Array:
        params = np.exp(u)
        tokens = tokens_for(basis, params, loss, unique=unique)
        return u + np.log(TRAIN * tokens + SERVE * serve_tokens)

    u = _least(cost, math.log(SMALLEST), math.log(LARGEST), basis)
    params = math.exp(u)
    tokens = float(tokens_for(basis, np.array([params]), loss, unique=unique)[0])
    return Point(params, tokens, loss)


def tokens_for(basis: Basis, params: Array, loss: float, *, unique: float | None = None) -> Array:
    """The data that models of `params` need to reach `loss`: infinite where no data suffice."""
    low, high = np.zeros_like(params), np.full_like(params, math.log(LARGEST))
    reached = basis.loss(params, np.exp(high), unique=unique) <= loss
    for _ in range(58):
        middle = (low + high) / 2
        enough = basis.loss(params, np.exp(middle), unique=unique) <= loss
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(reached, np.exp((low + high) / 2), np.inf)


def budget_where(quantity: Callable[[float], float], target: float) -> float:
    """The FLOPs at which `quantity`, which grows with the budget, reaches `target`."""
    low, high = math.log(1e6), math.log(1e40)
    for _ in range(48):
        middle = (low + high) / 2
        low, high = (low, middle) if quantity(math.exp(middle)) >= target else (middle, high)
    return math.exp((low + high) / 2)


def flat_bottom(basis: Basis, best: Point, *, extra: float = 0.01, unique: float | None = None) -> tuple[float, float]:
    """The least and the largest size that reach the best loss with at most `extra` more training compute."""
    flops = best.flops * (1 + extra)

    def reaches(u: float) -> bool:
        params = math.exp(u)
        return bool(basis.loss(params, flops / (TRAIN * params), unique=unique) <= best.loss)

    def edge(outside: float) -> float:
        inside = math.log(best.params)
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if reaches(middle) else (inside, middle)
        return math.exp(inside)

    return edge(math.log(best.params) - 12), edge(math.log(best.params) + 12)


def _least(value: Callable[[Array], Array], low: float, high: float, basis: Basis) -> float:
    grid = np.linspace(low, high, GRID)
    values = value(grid)
    values = np.where(np.isfinite(values), values, np.inf)
    at = int(values.argmin())
    if at in (0, GRID - 1) or not np.isfinite(values[at]):
        side = "larger" if at else "smaller"
        raise UserError(
            f"{basis.name} has no best size for this budget: its loss keeps falling towards {side} models, so it "
            "can't be planned on."
        )
    left, right = grid[at - 1], grid[at + 1]
    stencil = STEP * np.array([-2.0, -1.0, 1.0, 2.0])
    for _ in range(40):
        middle = (left + right) / 2
        before2, before, after, after2 = value(middle + stencil)
        slope = before2 - 8 * before + 8 * after - after2
        left, right = (left, middle) if slope > 0 else (middle, right)
    return float((left + right) / 2)


def _above_floor(basis: Basis, loss: float) -> None:
    floor = basis.floor()
    if loss > floor:
        return
    interval = ""
    if basis.draws is not None:
        low, high = np.nanquantile(basis.loss_draws(1e60, 1e60, unique=1e60), [0.05, 0.95])
        interval = f" [{low:.3g}, {high:.3g}]"
    raise UserError(
        f"No compute reaches {loss:.4g}: the fitted floor is {floor:.3g}{interval}. Ask for a loss above it."
    )
