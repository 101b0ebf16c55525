"""The ladder to buy: the small runs that make a prediction most certain for their FLOPs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from isoflop.errors import UserError
from isoflop.fitting.result import LEVEL, Fit
from isoflop.planning.basis import TRAIN, Array, Basis, basis_of
from isoflop.planning.information import Belief, Knowledge, belief_of, knowledge
from isoflop.planning.optimum import best_split

NOISE = 0.004
"""Standard deviation of log loss where no fit tells it: run-to-run noise and a law's own misfit on public ladders."""
MISFIT = 1.0
"""How much a law may be off, in units of the noise and per factor of e of compute between a run and the target."""
SIZES, RATIOS = 16, 9
"""Of the grid of possible runs."""
LEAST_RATIO, MOST_RATIO = 4.0, 256.0
"""Tokens per parameter of possible runs."""
BELOW_TARGET = 4.0
"""The largest run has at most this part of the target's compute: more would be no prediction."""
MOST_RUNS = 24
"""Runs in a ladder, unless more are asked for: each has a price of its own in human care."""
IDLE = 0.005
"""A run that narrows the interval by less than half this share of itself is not bought."""
LEAST_ALLOWANCE = 1e9
"""FLOPs: with less, runs have some hundred parameters, and are no language models."""
ROUNDS = 4
"""Of taking runs out again and filling the allowance anew."""


@dataclass(frozen=True)
class DesignRun:
    """One run to buy: its size, data, and what it adds to the cost of the ladder (less where it shares a trunk)."""

    params: float
    tokens: float
    flops: float


@dataclass(frozen=True)
class LadderDesign:
    """Runs by size, their cost, and what to expect of them.

    `half_width` is half the interval of the prediction, as a share of the predicted quantity (0.01 is 1 %), and
    `curve` the same against the FLOPs spent as runs are bought in the best order: where it flattens, stop.
    """

    runs: tuple[DesignRun, ...]
    flops: float
    half_width: float
    level: float
    curve: tuple[tuple[float, float], ...]
    of: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return vars(self) | {"runs": [vars(run) for run in self.runs]}


def design_ladder(
    source: Fit | Basis | str | Path,
    *,
    allowance: float,
    target_params: float | None = None,
    target_tokens: float | None = None,
    target_flops: float | None = None,
    of: Literal["loss", "params"] = "loss",
    runs: Sequence[tuple[float, float]] | None = None,
    cooldown: float | None = None,
    most: int = MOST_RUNS,
    noise: float | None = None,
    level: float = LEVEL,
) -> LadderDesign:
    """Choose runs within `allowance` FLOPs that make a target's loss, or the best size for a budget, most certain.

    The target is a size and data, or `target_flops` at its best split. `runs` are the (params, tokens) to choose from,
    by default a grid of 4 to 256 tokens per parameter below a quarter of the target's compute. `source` is what is
    believed before: a published set, or the `Fit` of the runs that are in, which makes the design the answer to "what
    next". With `cooldown`, runs of one size share a trunk and each pays its own last `cooldown` of its tokens.
    `noise` is the standard deviation of log loss. Raises `UserError` where the allowance buys no run.
    """
    if not LEAST_ALLOWANCE <= allowance < math.inf:
        raise UserError(
            f"An allowance of {allowance:g} FLOPs buys no ladder: the least that is worth designing for is "
            f"{LEAST_ALLOWANCE:.0e}."
        )
    basis = basis_of(source)
    belief = belief_of(basis)
    params, tokens = _target(basis, target_params, target_tokens, target_flops)
    budget = TRAIN * params * tokens
    pool = np.array(runs if runs is not None else _grid(budget, allowance), dtype=np.float64).reshape(-1, 2)
    shop = _Shop(pool, allowance, cooldown, most)
    if not len(shop.affordable(frozenset())):
        raise UserError(
            f"An allowance of {allowance:.3g} FLOPs buys none of the runs to choose from: the cheapest costs "
            f"{shop.cheapest:.3g}."
        )
    scale = noise if noise is not None else (basis.fit.noise if basis.fit is not None else NOISE)
    aims = belief.gradients([params], [tokens])[:, 0] if of == "loss" else belief.size_gradients(budget)
    start = knowledge(belief, aims)
    informative = _weighted(belief, pool, budget, scale)
    chosen = _choose(start, informative, shop)
    order, curve = _in_order(start, informative, shop, chosen, level)
    return LadderDesign(
        runs=tuple(sorted(order, key=lambda run: (run.params, run.tokens))),
        flops=shop.cost(frozenset(chosen)),
        half_width=curve[-1][1],
        level=level,
        curve=curve,
        of=of,
    )


@dataclass(frozen=True)
class _Shop:
    """The runs on offer, what sets of them cost, and the allowance."""

    pool: Array
    allowance: float
    cooldown: float | None
    most: int

    @property
    def cheapest(self) -> float:
        return float(TRAIN * (self.pool[:, 0] * self.pool[:, 1]).min()) if len(self.pool) else math.inf

    def cost(self, chosen: frozenset[int]) -> float:
        """FLOPs of a set: each run its own, or a trunk per size and a cool-down per run."""
        sizes, data = self.pool[sorted(chosen), 0], self.pool[sorted(chosen), 1]
        if self.cooldown is None:
            return float(TRAIN * np.sum(sizes * data))
        total = 0.0
        for size in np.unique(sizes):
            own = data[sizes == size]
            total += TRAIN * size * ((1 - self.cooldown) * own.max() + self.cooldown * own.sum())
        return float(total)

    def affordable(self, chosen: frozenset[int]) -> dict[int, float]:
        """Every further run that the allowance still buys, with what it adds to the cost."""
        if len(chosen) >= self.most:
            return {}
        spent = self.cost(chosen) if chosen else 0.0
        left = (self.allowance - spent) * (1 + 1e-12)
        if self.cooldown is None:
            costs = TRAIN * self.pool[:, 0] * self.pool[:, 1]
            return {i: float(c) for i, c in enumerate(costs) if i not in chosen and c <= left}
        added = {i: self.cost(chosen | {i}) - spent for i in range(len(self.pool)) if i not in chosen}
        return {i: extra for i, extra in added.items() if extra <= left}


def _choose(start: Knowledge, runs: Array, shop: _Shop) -> list[int]:
    """The best of two greedy fillings (gain per FLOP, and gain), each improved by taking runs out and refilling.

    The one alone can be arbitrarily bad for a knapsack, the better of the two can't (Leskovec et al. 2007, section 3).
    """
    best: list[int] = []
    for per_flop in (True, False):
        chosen = _fill(start, runs, shop, [], per_flop)
        for _ in range(ROUNDS):
            for out in list(chosen):
                kept = [one for one in chosen if one != out]
                again = _fill(start, runs, shop, kept, per_flop)
                if _score(start, runs, again) < _score(start, runs, chosen) - 1e-9:
                    chosen = again
        if not best or _score(start, runs, chosen) < _score(start, runs, best):
            best = chosen
    return _without_idle(start, runs, best)


def _without_idle(start: Knowledge, runs: Array, chosen: list[int]) -> list[int]:
    """The same without the runs that filled the allowance but teach nothing, the idlest first."""
    while len(chosen) > 1:
        rest = {one: [other for other in chosen if other != one] for one in chosen}
        scores = {one: _score(start, runs, others) for one, others in rest.items()}
        idlest = min(scores, key=lambda one: scores[one])
        if scores[idlest] - _score(start, runs, chosen) > IDLE:
            break
        chosen = rest[idlest]
    return chosen


def _fill(start: Knowledge, runs: Array, shop: _Shop, chosen: list[int], per_flop: bool) -> list[int]:
    found, known = list(chosen), _knowing(start, runs, chosen)
    while offers := shop.affordable(frozenset(found)):
        at = np.array(list(offers))
        gains = known.gains(runs[:, at])
        best = int(at[np.argmax(gains / np.array(list(offers.values())) if per_flop else gains)])
        found.append(best)
        known = known.with_run(runs[:, best])
    return found


def _knowing(start: Knowledge, runs: Array, chosen: Sequence[int]) -> Knowledge:
    known = start
    for one in chosen:
        known = known.with_run(runs[:, one])
    return known


def _score(start: Knowledge, runs: Array, chosen: Sequence[int]) -> float:
    return _knowing(start, runs, chosen).score()


def _in_order(
    start: Knowledge, runs: Array, shop: _Shop, chosen: Sequence[int], level: float
) -> tuple[list[DesignRun], tuple[tuple[float, float], ...]]:
    """The chosen runs in the order of gain per FLOP, with the half-width expected after each."""
    bought: list[int] = []
    order: list[DesignRun] = []
    known, spent = start, 0.0
    curve = [(0.0, _half_width(start, level))]
    while len(bought) < len(chosen):
        left = [one for one in chosen if one not in bought]
        costs = np.array([shop.cost(frozenset([*bought, one])) - spent for one in left])
        pick = left[int(np.argmax(known.gains(runs[:, left]) / costs))]
        bought.append(pick)
        known, total = known.with_run(runs[:, pick]), shop.cost(frozenset(bought))
        order.append(DesignRun(float(shop.pool[pick, 0]), float(shop.pool[pick, 1]), total - spent))
        spent = total
        curve.append((spent, _half_width(known, level)))
    return order, tuple(curve)


def _half_width(known: Knowledge, level: float) -> float:
    """Half the interval of the logarithm, in the median draw; of normal errors."""
    return float(NormalDist().inv_cdf((1 + level) / 2) * np.sqrt(np.median(known.variance())))


def _weighted(belief: Belief, pool: Array, budget: float, noise: float) -> Array:
    """Gradients over the noise of each run, which grows with its distance from the target as the law may be off."""
    distance = np.log(budget / (TRAIN * pool[:, 0] * pool[:, 1]))
    scale = noise * np.sqrt(1 + (MISFIT * distance) ** 2)
    return np.asarray(belief.gradients(pool[:, 0], pool[:, 1]) / scale[:, None])


def _target(basis: Basis, params: float | None, tokens: float | None, flops: float | None) -> tuple[float, float]:
    if params is not None and tokens is not None and flops is None:
        return params, tokens
    if flops is not None and params is None and tokens is None:
        best = best_split(basis, flops)
        return best.params, best.tokens
    raise UserError("Name one target: target_flops, or both target_params and target_tokens.")


def _grid(budget: float, allowance: float) -> list[tuple[float, float]]:
    """Sizes and ratios between the largest run allowed and runs of a ten-thousandth of it."""
    most = min(budget / BELOW_TARGET, allowance)
    found = []
    for ratio in np.geomspace(LEAST_RATIO, MOST_RATIO, RATIOS):
        largest = math.sqrt(most / (TRAIN * math.sqrt(LEAST_RATIO * MOST_RATIO)))
        for params in np.geomspace(largest / 100, largest * 4, SIZES):
            if TRAIN * params * ratio * params <= most:
                found.append((float(params), float(ratio * params)))
    return found
