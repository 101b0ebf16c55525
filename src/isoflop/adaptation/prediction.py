"""Labels and their probabilities, by the one way that evaluation and `predict-text` share: float32, without dropout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isoflop.adaptation.batches import alike_of, batch_of
from isoflop.adaptation.classifier import Classifier
from isoflop.adaptation.pretrained import Tokenized


@dataclass(frozen=True)
class Guess:
    """The likeliest label of a text, and its probability."""

    label: str
    probability: float


def probabilities(model: Classifier, texts: Tokenized) -> NDArray[np.float64]:
    """The probability of every label for each text: (N, K)."""
    found = np.empty((len(texts), model.head.out_features))
    for chosen, logits in outputs(model, texts):
        found[chosen] = torch.softmax(logits[:, 0].double(), dim=-1).cpu().numpy()
    return found


@torch.no_grad()
def outputs(model: nn.Module, texts: Tokenized, *, has_segments: bool = False) -> Iterator[tuple[list[int], Tensor]]:
    """Numbers of some texts and what `model` says of them, until all were there. Texts of like length share a batch."""
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    for chosen in alike_of(texts.sequences):
        yield chosen, model(batch_of(texts, chosen, has_segments=has_segments).to(device))
    model.train(was_training)


def guesses(probabilities_NK: NDArray[np.float64], labels: Sequence[str]) -> list[Guess]:
    """The likeliest label of each row."""
    best_N = probabilities_NK.argmax(axis=1)
    return [Guess(labels[k], float(row[k])) for k, row in zip(best_N, probabilities_NK, strict=True)]
