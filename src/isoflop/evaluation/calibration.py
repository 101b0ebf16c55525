"""Whether a classifier's odds are honest: confidence against accuracy, and one temperature that makes them so.

N examples, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.evaluation.classification import BINS, bins_of

COLDEST, HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class Bin:
    """Texts whose confidence is above `low` and at most `high`: how many, their mean confidence, and their accuracy."""

    low: float
    high: float
    examples: int
    confidence: float
    accuracy: float


def reliability(probabilities: ArrayLike, answers: ArrayLike) -> tuple[Bin, ...]:
    """The bins that have texts, of the `BINS` of equal width (Guo et al. 2017, arXiv 1706.04599, figure 1)."""
    p_NK, answer_N = np.asarray(probabilities, dtype=np.float64), np.asarray(answers, dtype=np.int64)
    confidence_N, right_N = p_NK.max(axis=1), p_NK.argmax(axis=1) == answer_N
    bin_N = bins_of(confidence_N)
    found = []
    for at in np.unique(bin_N):
        here_N = bin_N == at
        means = float(confidence_N[here_N].mean()), float(right_N[here_N].mean())
        found.append(Bin(float(at) / BINS, (float(at) + 1) / BINS, int(here_N.sum()), *means))
    return tuple(found)


def fit_temperature(probabilities: ArrayLike, answers: ArrayLike) -> float:
    """The T that minimises the mean of −ln p_T(answer), p_T ∝ p^(1/T) (Guo et al. 2017, section 4.2).

    Above 1 the model was too sure. Between 0.05 and 20: odds that are always right have no best temperature.
    """
    from scipy.optimize import minimize_scalar

    logs_NK = _logs(probabilities)
    answer_N = np.asarray(answers, dtype=np.int64)
    every = np.arange(len(answer_N))

    def nats(log_temperature: float) -> float:
        return float(-_scaled(logs_NK, np.exp(log_temperature))[every, answer_N].mean())

    return float(np.exp(minimize_scalar(nats, bounds=np.log([COLDEST, HOTTEST]), method="bounded").x))


def with_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Probabilities (N, K) proportional to p^(1/T): the softmax of logits divided by T."""
    return np.exp(_scaled(_logs(probabilities), temperature))


def _logs(probabilities: ArrayLike) -> NDArray[np.float64]:
    p_NK = np.asarray(probabilities, dtype=np.float64)
    return np.log(np.maximum(p_NK, np.finfo(np.float64).tiny))


def _scaled(logs_NK: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    z_NK = logs_NK / temperature
    z_NK = z_NK - z_NK.max(axis=1, keepdims=True)
    return z_NK - np.log(np.exp(z_NK).sum(axis=1, keepdims=True))
