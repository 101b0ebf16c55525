"""Texts as batches: each epoch in an order of its own, padded to the longest text of the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from isoflop.adaptation.pretrained import Tokenized
from isoflop.models import IGNORED, PADDING, Batch


@dataclass(frozen=True)
class TextBatches:
    """Batches of `batch` labelled texts; a step's batch is a function of `seed` and step, so that any step can be next.

    The last batch of an epoch has what is left.
    """

    texts: Tokenized
    answers: Sequence[int]
    batch: int
    seed: int
    device: str = "cpu"

    @property
    def per_epoch(self) -> int:
        """Steps in which every text is seen once."""
        return math.ceil(len(self.texts) / self.batch)

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.texts))
        chosen = order[place * self.batch : (place + 1) * self.batch]
        sequences = [self.texts.sequences[at] for at in chosen]
        return padded(sequences, [self.answers[at] for at in chosen]).to(self.device)


def padded(sequences: Sequence[Sequence[int]], answers: Sequence[int] | None = None) -> Batch:
    """Sequences side by side, filled up at their ends; targets are the labels' numbers (B, 1)."""
    longest = max(map(len, sequences))
    inputs = torch.zeros(len(sequences), longest, dtype=torch.int64)
    documents = torch.full_like(inputs, PADDING)
    for row, sequence in enumerate(sequences):
        inputs[row, : len(sequence)] = torch.tensor(sequence)
        documents[row, : len(sequence)] = PADDING + 1
    targets = torch.full((len(sequences), 1), IGNORED) if answers is None else torch.tensor(answers)[:, None]
    is_full = min(map(len, sequences)) == longest
    return Batch(inputs, targets, None if is_full else documents)
