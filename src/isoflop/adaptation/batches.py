"""Texts as batches: each epoch in an order of its own, padded to the longest text of the batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isoflop.adaptation.pretrained import Tokenized
from isoflop.evaluation.lengths import alike
from isoflop.models import IGNORED, PADDING, Batch

TEXTS_AT_ONCE, TOKENS_AT_ONCE = 64, 16_384
"""The most that are read side by side where nothing is learnt: so many texts, and tokens with their padding."""


@dataclass(frozen=True)
class TextBatches:
    """Batches of `batch` labelled texts; a step's batch is a function of `seed` and step, so that any step can be next.

    An answer is a label's number, or several numbers (of a text, or of its tokens). The last batch of an epoch has what
    is left. `has_segments`: the model reads which tokens are of a pair's second text.
    """

    texts: Tokenized
    answers: Sequence[Any]
    batch: int
    seed: int
    device: str = "cpu"
    has_segments: bool = False

    @property
    def per_epoch(self) -> int:
        """Steps in which every text is seen once."""
        return math.ceil(len(self.texts) / self.batch)

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.texts))
        chosen = order[place * self.batch : (place + 1) * self.batch]
        made = batch_of(self.texts, chosen, has_segments=self.has_segments)
        return made._replace(targets=_targets([self.answers[at] for at in chosen])).to(self.device)


def alike_of(sequences: Sequence[Sized]) -> Iterator[list[int]]:
    """Numbers of the sequences in the batches in which they are only read: those of like length together."""
    return alike([len(sequence) for sequence in sequences], TOKENS_AT_ONCE, TEXTS_AT_ONCE)


def batch_of(texts: Tokenized, chosen: Sequence[int] | Any, *, has_segments: bool = False) -> Batch:
    """The texts with the numbers `chosen`, without answers."""
    made = padded([texts.sequences[at] for at in chosen])
    if not has_segments or texts.segments is None:
        return made
    return made._replace(segments=_side_by_side([texts.segments[at] for at in chosen], fill=0))


def padded(sequences: Sequence[Any], answers: Sequence[Any] | None = None) -> Batch:
    """Sequences side by side, filled up at their ends; targets are the labels' numbers (B, 1), or rows of them."""
    inputs = _side_by_side(sequences, fill=0)
    lengths_B = torch.tensor([len(sequence) for sequence in sequences])
    there_BT = torch.arange(inputs.shape[1]) < lengths_B[:, None]
    documents = torch.where(there_BT, PADDING + 1, PADDING)
    targets = torch.full((len(sequences), 1), IGNORED) if answers is None else _targets(answers)
    return Batch(inputs, targets, None if there_BT.all() else documents)


def _targets(answers: Sequence[Any]) -> Tensor:
    """(B, 1) of numbers, (B, longest) of rows; what is missing of a row is ignored."""
    if isinstance(answers[0], (int, np.integer)):
        return torch.tensor(answers)[:, None]
    return _side_by_side(answers, fill=IGNORED)


def _side_by_side(rows: Sequence[Any], *, fill: int) -> Tensor:
    table = torch.full((len(rows), max(map(len, rows))), fill, dtype=torch.int64)
    for at, row in enumerate(rows):
        table[at, : len(row)] = torch.as_tensor(row)
    return table
