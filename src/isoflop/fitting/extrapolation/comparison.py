"""`compare`: laws side by side, by AICc and by held-out error, and an average of them where none wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.fitting.extrapolation.rolling import named_laws, roll
from isoflop.fitting.fit import fit
from isoflop.fitting.objectives import Huber, Objective, Squared
from isoflop.fitting.result import Fit
from isoflop.laws import Law
from isoflop.runs import Runs

Array = NDArray[np.float64]
CLEAR = 2.0
"""A law wins where its squared errors are lower than any other's by this many standard errors of the difference (which
counts predictions as independent; those of one run from several cuts are not quite)."""
TIE = 1e-3
"""Of the mean squared error: laws nearer to each other than this are equal."""
SMALLEST_WEIGHT = 0.005


@dataclass(frozen=True)
class Contestant:
    """One law: its fit to all runs, AICc above the best's, and its error and coverage on larger runs held out.

    AICc = n log(SSR / n) + 2 k + 2 k (k + 1) / (n - k - 1) for k parameters and the noise, SSR of a least-squares fit
    to log loss (Hurvich and Tsai 1989); infinite where n is not above k + 1. `weight` is its share of the stack.
    """

    name: str
    fit: Fit
    delta_aicc: float
    error: float
    coverage: float
    weight: float


@dataclass(frozen=True)
class Comparison:
    """The contestants, best held-out error first; `winner` is the clear one, or None: then use `predict`."""

    contestants: tuple[Contestant, ...]
    winner: str | None
    stack_error: float
    """Root mean square error of the stack on the runs held out. Its weights were chosen there, so it flatters."""
    by: str
    n_held_out: int
    source: str

    @property
    def verdict(self) -> str:
        """In a sentence, which law to use."""
        best = self.contestants[0]
        if len(self.contestants) == 1:
            return f"{best.name} alone was tried."
        if self.winner is not None:
            return f"{self.winner} predicts the larger runs clearly best: use it."
        shares = ", ".join(f"{100 * one.weight:.0f} % {one.name}" for one in self.contestants if one.weight)
        return f"No law predicts the larger runs clearly better than all others: use the stack, {shares}."

    def predict(self, **columns: ArrayLike) -> Array:
        """The stack's loss at the given columns: the weighted geometric mean of the laws' own."""
        total: Any = 0.0
        for one in self.contestants:
            if one.weight:
                total = total + one.weight * np.log(one.fit.law.loss(one.fit.values, columns))
        return np.asarray(np.exp(total), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        laws = [
            {
                "law": one.name,
                "formula": one.fit.law.formula,
                "n_parameters": len(one.fit.fitted),
                "delta_aicc": one.delta_aicc if np.isfinite(one.delta_aicc) else None,
                "error": one.error,
                "coverage": one.coverage,
                "weight": one.weight,
            }
            for one in self.contestants
        ]
        return {"laws": laws, "winner": self.winner, "verdict": self.verdict, "stack_error": self.stack_error,
                "by": self.by, "n_held_out": self.n_held_out}  # fmt: skip


def compare(
    runs: Runs,
    laws: Sequence[Law | str],
    *,
    by: str = "C",
    objective: Objective = Huber(),
    draws: int = 200,
    target: str = "loss",
) -> Comparison:
    """Fit each of `laws` to `runs` and judge it by AICc and by how it predicts larger runs from smaller ones.

    The held-out errors are those of `backtest` (rolling, by the column `by`). Where no law is clearly ahead there, the
    stack averages log losses with the weights, none below zero, that minimise the held-out squared error (Breiman 1996,
    "Stacked regressions"). All laws see the same runs. Raises `UserError` where those are too few.
    """
    chosen = named_laws(laws)
    rolled = roll(runs, chosen, by=by, objective=objective, draws=draws, target=target)
    fits = {
        name: fit(rolled.used, law, objective=objective, draws=draws, target=target) for name, law in chosen.items()
    }
    aicc = {name: _aicc(rolled.used, law, target) for name, law in chosen.items()}
    least = min(aicc.values())
    errors = np.array([rolled.errors[name] for name in chosen])
    winner = _winner(errors)
    weights = stack_weights(errors) if winner is None else np.eye(len(errors))[winner]
    contestants = [
        Contestant(
            name,
            fits[name],
            aicc[name] - least if np.isfinite(aicc[name]) else np.inf,
            float(np.sqrt(np.mean(rolled.errors[name] ** 2))),
            float(np.mean(rolled.inside[name])),
            float(weight),
        )
        for name, weight in zip(chosen, weights, strict=True)
    ]
    return Comparison(
        tuple(sorted(contestants, key=lambda one: one.error)),
        None if winner is None else list(chosen)[winner],
        float(np.sqrt(np.mean((weights @ errors) ** 2))),
        by,
        errors.shape[1],
        runs.source,
    )


def stack_weights(errors: Array) -> Array:
    """Weights (laws,), none negative, sum 1, that minimise the mean square of `weights @ errors` for (laws, n)."""
    from scipy.optimize import nnls

    scale = float(np.sqrt(np.mean(errors**2))) or 1.0
    firm = 1e3 * np.sqrt(errors.shape[1])
    system = np.vstack([errors.T / scale, np.full(len(errors), firm)])
    weights, _ = nnls(system, np.append(np.zeros(errors.shape[1]), firm))
    weights = np.where(weights < SMALLEST_WEIGHT * weights.sum(), 0.0, weights)
    found: Array = weights / weights.sum()
    return found


def _winner(errors: Array) -> int | None:
    """The law whose squared errors are clearly the lowest, or None."""
    squares = errors**2
    best = int(np.argmin(squares.mean(axis=1)))
    for other in range(len(errors)):
        worse = squares[other] - squares[best]
        deviation = float(worse.std(ddof=1)) if len(worse) > 1 else np.inf
        needed = max(CLEAR * deviation / np.sqrt(len(worse)), TIE * squares[best].mean())
        if other != best and worse.mean() < needed:
            return None
    return best


def _aicc(runs: Runs, law: Law, target: str) -> float:
    found = fit(runs, law, objective=Squared(), draws=1, target=target)
    n, k = found.n_runs, len(found.fitted) + 1
    if n <= k + 1:
        return float("inf")
    mean_square = max(float(np.mean(found.residuals**2)), 1e-30)
    return float(n * np.log(mean_square) + 2 * k + 2 * k * (k + 1) / (n - k - 1))
