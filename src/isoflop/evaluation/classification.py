"""How good a classifier is: accuracy, precision, recall, F1, who is taken for whom, and whether its odds are honest.

N examples, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.evaluation.intervals import Array, FigureOfMeans
from isoflop.evaluation.measure import Measure

BINS = 15
"""Bins of the calibration error, of equal width (Guo et al. 2017, arXiv 1706.04599, section 2 and table 1)."""


@dataclass(frozen=True)
class LabelScore:
    """Precision, recall and F1 of one label, and how many examples have it; a score with nothing to divide by is 0."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Scores:
    """What a classifier did on `examples` texts.

    `macro_*` is the mean over labels, `micro_*` counts all decisions together (with one label a text all three are
    the accuracy). `confusion[i][j]` counts texts of label i that were taken for j. `nats` is the mean cross-entropy,
    `calibration_error` the ECE: Σ_b n_b/N · |accuracy_b − confidence_b| over bins b of the confidence.
    """

    examples: int
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    micro_precision: float
    micro_recall: float
    micro_f1: float
    calibration_error: float
    nats: float
    nats_standard_error: float
    labels: tuple[LabelScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    values: Mapping[str, Sequence[float]] = field(default_factory=dict, compare=False, repr=False)
    """Whether each text was told rightly (`accuracy`), in the file's order."""
    measures: Mapping[str, Measure] = field(default_factory=dict, compare=False, repr=False)
    """What intervals of the figures are made of, where they were asked for."""

    main = "accuracy"

    @property
    def figures(self) -> dict[str, float]:
        """What is shown, by name; precision and recall are macro."""
        return {
            "accuracy": self.accuracy,
            "precision": self.macro_precision,
            "recall": self.macro_recall,
            "F1 macro": self.macro_f1,
            "F1 micro": self.micro_f1,
            "ECE": self.calibration_error,
        }

    @property
    def worth(self) -> float:
        return self.accuracy

    def to_dict(self) -> dict[str, Any]:
        """All but the texts' own values, as plain values."""
        return {name: value for name, value in asdict(self).items() if name not in ("values", "measures")}


def classification_scores(probabilities: ArrayLike, answers: ArrayLike, *, labels: tuple[str, ...]) -> Scores:
    """Score `probabilities` (N, K) against the numbers of the right labels (N,)."""
    p_NK, answer_N = np.asarray(probabilities, dtype=np.float64), np.asarray(answers, dtype=np.int64)
    guess_N, count, every = p_NK.argmax(axis=1), len(labels), range(len(labels))
    confusion = np.zeros((count, count), dtype=np.int64)
    np.add.at(confusion, (answer_N, guess_N), 1)
    hits, taken, there = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    rows = tuple(label_score(labels[k], int(hits[k]), int(taken[k]), int(there[k])) for k in every)
    right_N = guess_N == answer_N
    accuracy = float(right_N.mean())
    nats_N = _nats(p_NK, answer_N)
    return Scores(
        examples=len(answer_N),
        accuracy=accuracy,
        macro_precision=float(np.mean([row.precision for row in rows])),
        macro_recall=float(np.mean([row.recall for row in rows])),
        macro_f1=float(np.mean([row.f1 for row in rows])),
        micro_precision=accuracy,
        micro_recall=accuracy,
        micro_f1=accuracy,
        calibration_error=calibration_error(p_NK.max(axis=1), right_N),
        nats=float(nats_N.mean()),
        nats_standard_error=float(nats_N.std(ddof=1) / len(nats_N) ** 0.5) if len(nats_N) > 1 else 0.0,
        labels=rows,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        values={"accuracy": tuple(map(float, right_N))},
    )


def classification_measures(probabilities: ArrayLike, answers: ArrayLike) -> dict[str, Measure]:
    """The figures of `Scores`, and the loss (`nats`), as functions of means over texts, for intervals and tests."""
    p_NK, answer_N = np.asarray(probabilities, dtype=np.float64), np.asarray(answers, dtype=np.int64)
    guess_N, every = p_NK.argmax(axis=1), np.arange(p_NK.shape[1])
    taken_NK, there_NK = guess_N[:, None] == every, answer_N[:, None] == every
    counts = np.hstack([taken_NK & there_NK, taken_NK, there_NK]).astype(np.float64)
    accuracy = Measure((guess_N == answer_N).astype(np.float64))
    gaps_NB = np.zeros((len(answer_N), BINS))
    confidence_N = p_NK.max(axis=1)
    gaps_NB[np.arange(len(answer_N)), bins_of(confidence_N)] = (guess_N == answer_N) - confidence_N
    return {
        "accuracy": accuracy,
        "precision": Measure(counts, _macro(1, 0)),
        "recall": Measure(counts, _macro(0, 1)),
        "F1 macro": Measure(counts, _macro(0.5, 0.5)),
        "F1 micro": accuracy,
        "ECE": Measure(gaps_NB, lambda means: np.abs(means).sum(axis=-1)),
        "nats": Measure(_nats(p_NK, answer_N)),
    }


def _macro(of_taken: float, of_there: float) -> FigureOfMeans:
    """The mean over labels of hits over what was taken, what was there, or their mean (which is F1); 0 / 0 is 0."""

    def figure(means: Array) -> Array:
        hits, taken, there = np.split(means, 3, axis=-1)
        below = of_taken * taken + of_there * there
        return np.divide(hits, below, out=np.zeros_like(hits), where=below > 0).mean(axis=-1)

    return figure


def _nats(p_NK: NDArray[np.float64], answer_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """-log of the right label's probability."""
    return -np.log(np.maximum(p_NK[np.arange(len(answer_N)), answer_N], np.finfo(np.float64).tiny))


def bins_of(confidence_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each confidence; bins are open below."""
    return np.clip(np.ceil(confidence_N * BINS).astype(np.int64) - 1, 0, BINS - 1)


def calibration_error(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> float:
    """Expected calibration error (Guo et al. 2017, arXiv 1706.04599, equation 3)."""
    gap_B = np.bincount(bins_of(confidence_N), weights=right_N - confidence_N, minlength=BINS)
    return float(np.abs(gap_B).sum() / len(confidence_N))


def label_score(label: str, hits: int, taken: int, there: int) -> LabelScore:
    """Scores from counts: what was rightly told, all that was told, all that there is."""
    precision, recall = hits / taken if taken else 0.0, hits / there if there else 0.0
    f1 = 2 * hits / (taken + there) if taken + there else 0.0
    return LabelScore(label, precision, recall, f1, there)
