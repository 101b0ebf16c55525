"""Labels and their probabilities, by the one way that evaluation and `predict-text` share: float32, without dropout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from isoflop.adaptation.batches import padded
from isoflop.adaptation.classifier import Classifier
from isoflop.adaptation.pretrained import Tokenized

AT_ONCE = 64


@dataclass(frozen=True)
class Guess:
    """The likeliest label of a text, and its probability."""

    label: str
    probability: float


@torch.no_grad()
def probabilities(model: Classifier, texts: Tokenized) -> NDArray[np.float64]:
    """The probability of every label for each text: (N, K). Texts of like length share a batch."""
    was_training, device = model.training, model.head.weight.device
    model.eval()
    by_length = sorted(range(len(texts)), key=lambda at: len(texts.sequences[at]))
    found = np.empty((len(texts), model.head.out_features))
    for start in range(0, len(by_length), AT_ONCE):
        chosen = by_length[start : start + AT_ONCE]
        logits_BK = model(padded([texts.sequences[at] for at in chosen]).to(device))[:, 0]
        found[chosen] = torch.softmax(logits_BK.double(), dim=-1).cpu().numpy()
    model.train(was_training)
    return found


def guesses(probabilities_NK: NDArray[np.float64], labels: Sequence[str]) -> list[Guess]:
    """The likeliest label of each row."""
    best_N = probabilities_NK.argmax(axis=1)
    return [Guess(labels[k], float(row[k])) for k, row in zip(best_N, probabilities_NK, strict=True)]
