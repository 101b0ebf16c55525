"""Taking out of a prompt's probabilities what the prompt itself prefers, whatever the text.

N texts, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]

CONTENT_FREE = ("N/A", "", "[MASK]")
"""Texts that say nothing (Zhao et al. 2021, arXiv 2102.09690, section 5)."""


def label_probabilities(
    scores: NDArray[np.float64], sizes: Sequence[int], lengths: NDArray[np.int64] | None = None
) -> Probabilities:
    """Probabilities of labels (N, K) of the words' ln P (N, words), `sizes` of which belong to each label in turn.

    A label has the mean probability of its words; with `lengths`, a word's tokens, ln P is first divided by them.
    """
    per_word = scores if lengths is None else scores / lengths
    columns = np.split(per_word, np.cumsum(sizes)[:-1], axis=1)
    logs_NK = np.stack([np.logaddexp.reduce(one, axis=1) - np.log(one.shape[1]) for one in columns], axis=1)
    shares_NK = np.exp(logs_NK - logs_NK.max(axis=1, keepdims=True))
    return shares_NK / shares_NK.sum(axis=1, keepdims=True)


def calibrated(p_NK: Probabilities, prior_K: Probabilities) -> Probabilities:
    """p divided by the prompt's own preference, and normalised (arXiv 2102.09690, equation 1, W = diag(prior)⁻¹).

    The paper takes the largest of W p; the normalisation makes probabilities of it and leaves the largest where it is.
    """
    odds_NK = p_NK / np.maximum(prior_K, np.finfo(np.float64).tiny)
    return odds_NK / odds_NK.sum(axis=1, keepdims=True)


def prior(p_NK: Probabilities) -> Probabilities:
    """What a prompt prefers: the mean probability of each label (K,).

    Over texts that say nothing it is the one of contextual calibration; over the measured texts themselves, without
    their labels, that of batch calibration (Zhou et al. 2023, arXiv 2309.17249), which supposes that the labels are
    about equally frequent.
    """
    return p_NK.mean(axis=0)
