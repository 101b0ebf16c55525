"""How good a classifier is: accuracy, precision, recall, F1, who is taken for whom, and whether its odds are honest.

N examples, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
        return {name: value for name, value in asdict(self).items() if name != "values"}


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
    nats_N = -np.log(np.maximum(p_NK[np.arange(len(answer_N)), answer_N], np.finfo(np.float64).tiny))
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


def calibration_error(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> float:
    """Expected calibration error (Guo et al. 2017, arXiv 1706.04599, equation 3); bins are open below."""
    bin_N = np.clip(np.ceil(confidence_N * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gap_B = np.bincount(bin_N, weights=right_N - confidence_N, minlength=BINS)
    return float(np.abs(gap_B).sum() / len(confidence_N))


def label_score(label: str, hits: int, taken: int, there: int) -> LabelScore:
    """Scores from counts: what was rightly told, all that was told, all that there is."""
    precision, recall = hits / taken if taken else 0.0, hits / there if there else 0.0
    f1 = 2 * hits / (taken + there) if taken + there else 0.0
    return LabelScore(label, precision, recall, f1, there)
