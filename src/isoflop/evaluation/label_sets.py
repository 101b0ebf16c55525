"""How good are sets of labels: each of K labels is a yes or no of its own for each of N texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.evaluation.classification import label_score
from isoflop.evaluation.measure import Measure
from isoflop.evaluation.scores import Figures

THRESHOLD = 0.5
"""A label is given where its probability is at least this."""


def label_set_scores(probabilities: ArrayLike, answers: ArrayLike, *, labels: tuple[str, ...]) -> Figures:
    """Score `probabilities` (N, K) against `answers` (N, K) of 0 and 1.

    Micro counts all decisions together, macro is the mean over labels; a score with nothing to divide by is 0. Subset
    accuracy is the share of texts whose set is right as a whole. `nats` is the mean cross-entropy of a decision.
    """
    p_NK, answer_NK = np.asarray(probabilities, dtype=np.float64), np.asarray(answers, dtype=bool)
    given_NK = p_NK >= THRESHOLD
    hits_K, given_K, there_K = (one.sum(axis=0) for one in (given_NK & answer_NK, given_NK, answer_NK))
    rows = tuple(
        label_score(label, int(hits), int(given), int(there))
        for label, hits, given, there in zip(labels, hits_K, given_K, there_K, strict=True)
    )
    micro = label_score("", int(hits_K.sum()), int(given_K.sum()), int(there_K.sum()))
    right_N = (given_NK == answer_NK).all(axis=1)
    tiny = np.finfo(np.float64).tiny
    nats_N = -np.log(np.maximum(np.where(answer_NK, p_NK, 1 - p_NK), tiny)).mean(axis=1)
    return Figures(
        examples=len(p_NK),
        main="F1 micro",
        figures={
            "F1 micro": micro.f1,
            "F1 macro": float(np.mean([row.f1 for row in rows])),
            "precision": micro.precision,
            "recall": micro.recall,
            "subset accuracy": float(right_N.mean()),
        },
        nats=float(nats_N.mean()),
        nats_standard_error=float(nats_N.std(ddof=1) / len(nats_N) ** 0.5) if len(nats_N) > 1 else 0.0,
        labels=rows,
        values={"subset accuracy": tuple(map(float, right_N))},
        measures={"F1 micro": f1_measure([one.sum(axis=1) for one in (given_NK & answer_NK, given_NK, answer_NK)])},
    )


def f1_measure(counts: Sequence[ArrayLike]) -> Measure:
    """F1 over all examples from each one's counts (N,): what it had rightly, what it was given, what it has."""
    return Measure(np.stack([np.asarray(one, dtype=np.float64) for one in counts], axis=1), _f1_of_means)


def _f1_of_means(means: NDArray[np.float64]) -> NDArray[np.float64]:
    both = means[..., 1] + means[..., 2]
    return 2 * means[..., 0] / np.where(both > 0, both, 1.0)
