"""`allocate`: how large a model on how much data, for one way of saying the budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isoflop.errors import UserError
from isoflop.fitting.result import LEVEL, Estimate, Fit
from isoflop.fitting.status import Status
from isoflop.planning.basis import TRAIN, Array, Basis, basis_of
from isoflop.planning.draws import (
    best_split_draws,
    cheapest_draws,
    matching_params_draws,
    matching_tokens_draws,
    thinned,
)
from isoflop.planning.optimum import (
    SERVE,
    Point,
    best_split,
    budget_where,
    cheapest,
    flat_bottom,
)

LEAST_FLOPS = 3e10
"""Below this the best model of the published laws is smaller than the table of the smallest vocabulary."""


@dataclass(frozen=True)
class Allocation:
    """A size and an amount of data, with what they cost and the loss to expect.

    `params`, `tokens`, `tokens_per_param` and `loss` carry an interval where the law was fitted (else low and high are
    NaN): for size and data the interval of the best choice, for the loss what one run of the model chosen will
    measure. `status` says where that reaches beyond the runs fitted. `flat_bottom` is the range of sizes that reach
    this loss with 1 % more training compute. `epochs` counts passes over unique tokens.
    """

    params: Estimate
    tokens: Estimate
    tokens_per_param: Estimate
    loss: Estimate
    flops: float
    flat_bottom: tuple[float, float] | None
    unique_tokens: float
    serve_tokens: float
    asked: str
    notes: tuple[str, ...]
    status: tuple[Status, ...]

    @property
    def epochs(self) -> float:
        return self.tokens.value / self.unique_tokens

    @property
    def serve_flops(self) -> float:
        return SERVE * self.params.value * self.serve_tokens

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: numbers, or `{value, low, high}` where the law was fitted."""
        found: dict[str, Any] = {
            name: estimate_dict(getattr(self, name)) for name in ("params", "tokens", "tokens_per_param", "loss")
        }
        flat = None if self.flat_bottom is None else {"low": self.flat_bottom[0], "high": self.flat_bottom[1]}
        return {
            **found,
            "flops": self.flops,
            "epochs": self.epochs,
            "unique_tokens": self.unique_tokens,
            "serve_tokens": self.serve_tokens,
            "serve_flops": self.serve_flops,
            "flat_bottom_params": flat,
            "asked": self.asked,
            "notes": list(self.notes),
        }


def estimate_dict(estimate: Estimate) -> float | dict[str, float | None]:
    """`{value, low, high}`, or the plain number where there is no interval; infinity, which JSON lacks, as None."""
    if math.isnan(estimate.low):
        return estimate.value
    found = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def allocate(
    source: Fit | Basis | str | Path,
    *,
    flops: float | None = None,
    loss: float | None = None,
    params: float | None = None,
    unique_tokens: float | None = None,
    serve_tokens: float = 0.0,
    tokens_per_param: float | None = None,
    fixed: Mapping[str, Any] | None = None,
    level: float = LEVEL,
) -> Allocation:
    """The best size and data for one budget: FLOPs of training, a loss, a size, or unique tokens.

    `flops` alone gives the size of least loss; with `tokens_per_param` or `params` the split is given and the loss
    follows; with `unique_tokens` data run out, and are repeated where the law knows what repeating is worth. `loss`
    gives the cheapest way there. With `serve_tokens` that counts serving as well (Sardana et al. 2024), the loss being
    the one asked for or the best that `flops` buys. `params` alone gives the data for which that size is the best,
    `unique_tokens` alone the size for which those data are. Computed on the law's formula, whatever it is; see
    docs/planner.md. Raises `UserError` where the budget is none, too small, or below the floor.
    """
    basis = basis_of(source, fixed=fixed)
    _check(flops=flops, loss=loss, params=params, unique_tokens=unique_tokens, tokens_per_param=tokens_per_param)
    if not 0 <= serve_tokens < math.inf:
        raise UserError(f"serve_tokens is {serve_tokens:g}: it must be 0 or a positive number.")
    chosen = _Chosen(basis, flops, loss, params, unique_tokens, serve_tokens, tokens_per_param)
    return chosen.allocation(level)


@dataclass(frozen=True)
class _Chosen:
    basis: Basis
    flops: float | None
    loss: float | None
    params: float | None
    unique: float | None
    serve: float
    ratio: float | None

    def allocation(self, level: float) -> Allocation:
        point, asked, optimal = self._point()
        notes = self._notes(point)
        best, tokens = self._draws(point) if optimal and self.basis.draws is not None else (None, None)
        unique = min(point.tokens, self.unique) if self.unique is not None else point.tokens
        loss, status = self.basis.measured(point.params, point.tokens, unique=self._unique_for_law, level=level)
        with np.errstate(invalid="ignore"):
            ratio = None if best is None or tokens is None else tokens / best
        return Allocation(
            params=_interval(point.params, best, level),
            tokens=_interval(point.tokens, tokens, level),
            tokens_per_param=_interval(point.tokens / point.params, ratio, level),
            loss=loss,
            flops=point.flops,
            flat_bottom=flat_bottom(self.basis, point, unique=self._unique_for_law)
            if optimal and not self.serve
            else None,
            unique_tokens=unique,
            serve_tokens=self.serve,
            asked=asked,
            notes=notes,
            status=status,
        )

    @property
    def _unique_for_law(self) -> float | None:
        return self.unique if self.basis.unique is not None else None

    def _point(self) -> tuple[Point, str, bool]:
        """The choice, what was asked in words, and whether it is an optimum (else it was prescribed)."""
        if self.flops is not None:
            return self._for_flops(self.flops)
        if self.loss is not None:
            point = cheapest(self.basis, self.loss, serve_tokens=self.serve, unique=self._unique_for_law)
            return point, f"the cheapest way to a loss of {self.loss:.4g}", True
        if self.params is not None:
            size = self.params
            flops = budget_where(lambda budget: best_split(self.basis, budget).params, size)
            return self._at(size, flops / (TRAIN * size)), f"the data for which {size:.4g} parameters are best", True
        assert self.unique is not None
        data = self.unique
        flops = budget_where(lambda budget: best_split(self.basis, budget).tokens, data)
        return self._at(flops / (TRAIN * data), data), f"the size for which {data:.4g} tokens seen once are best", True

    def _for_flops(self, flops: float) -> tuple[Point, str, bool]:
        asked = f"{flops:.4g} FLOPs of training"
        if self.params is not None:
            return (
                self._at(self.params, flops / (TRAIN * self.params)),
                f"{asked} on {self.params:.4g} parameters",
                False,
            )
        if self.ratio is not None:
            size = math.sqrt(flops / (TRAIN * self.ratio))
            return self._at(size, self.ratio * size), f"{asked} at {self.ratio:g} tokens per parameter", False
        best = best_split(self.basis, flops, unique=self._unique_for_law)
        if self.unique is not None and self.basis.unique is None and best.tokens > self.unique:
            return self._stopped(flops), f"{asked}, {self.unique:.4g} unique tokens seen once", False
        if self.serve:
            point = cheapest(self.basis, best.loss, serve_tokens=self.serve, unique=self._unique_for_law)
            return point, f"the loss that {asked} buy, served {self.serve:.4g} tokens", True
        return best, asked, True

    def _stopped(self, flops: float) -> Point:
        """Data run out and the law does not know repetition: all of them, once, on as large a model as that leaves."""
        assert self.unique is not None
        return self._at(flops / (TRAIN * self.unique), self.unique)

    def _at(self, params: float, tokens: float) -> Point:
        return Point(params, tokens, float(self.basis.loss(params, tokens, unique=self._unique_for_law)))

    def _notes(self, point: Point) -> tuple[str, ...]:
        notes = []
        if self.unique is not None and self.basis.unique is None and point.tokens >= self.unique * (1 - 1e-9):
            notes.append(
                f"The data run out at {self.unique:.4g} tokens, and {self.basis.name} does not say what repeating them "
                "is worth: plan with data_constrained:muennighoff2023 to see."
            )
        if self.serve and self.flops is not None:
            saved = _lifetime_saving(self.basis, self.flops, self.serve, point)
            notes.append(f"Over its life this costs {saved:.1%} less than the model that is best for training alone.")
        return tuple(notes)

    def _draws(self, point: Point) -> tuple[Array, Array]:
        """Best size and data under each draw, for the same request."""
        unique = self._unique_for_law
        if self.params is not None:
            tokens = matching_tokens_draws(self.basis, point)
            return np.full_like(tokens, point.params), tokens
        if self.flops is None and self.loss is None:
            sizes = matching_params_draws(self.basis, point)
            return sizes, np.full_like(sizes, point.tokens)
        if self.flops is not None and not self.serve:
            sizes, _ = best_split_draws(self.basis, self.flops, point.params, unique=unique)
            return sizes, self.flops / (TRAIN * sizes)
        basis = thinned(self.basis)
        target: Array = np.array([self.loss])
        if self.flops is not None:
            target = best_split_draws(basis, self.flops, best_split(basis, self.flops).params, unique=unique)[1]
        return cheapest_draws(basis, target, near=point, serve_tokens=self.serve, unique=unique)


def _check(**asked: float | None) -> None:
    given = {name: value for name, value in asked.items() if value is not None}
    budgets = given.keys() & {"flops", "loss", "params", "unique_tokens"}
    if "flops" not in given and "tokens_per_param" in given:
        raise UserError("Tokens per parameter need a budget: add flops.")
    if not budgets:
        raise UserError("No budget is given: say flops, loss, params or unique_tokens.")
    if "loss" in given and len(given) > 1 and "unique_tokens" not in given:
        raise UserError("A loss is a budget of its own: leave out flops, params and tokens_per_param.")
    if "tokens_per_param" in given and "params" in given:
        raise UserError("Size and tokens per parameter together leave nothing to choose: give one of them.")
    for name, value in given.items():
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"{name} is {value:g}: it must be a positive number.")
    if "flops" in given and given["flops"] < LEAST_FLOPS:
        raise UserError(
            f"{given['flops']:.3g} FLOPs are below any sensible model: the least that a law is worth planning on is "
            f"{LEAST_FLOPS:.0e}, a second of one processor core."
        )


def _interval(value: float, draws: Array | None, level: float) -> Estimate:
    if draws is None:
        return Estimate(value, math.nan, math.nan, level)
    usable = draws[~np.isnan(draws)]
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Estimate(value, float(low), float(high), level)


def _lifetime_saving(basis: Basis, flops: float, serve: float, point: Point) -> float:
    trained_best = best_split(basis, flops)
    usual = trained_best.flops + SERVE * trained_best.params * serve
    return 1 - (point.flops + SERVE * point.params * serve) / usual
