"""Batches by position: which tokens step k sees is a function of the seed and k alone, so resuming needs no state."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoflop.errors import UserError
from isoflop.models import Batch

GOLDEN = (5**0.5 - 1) / 2


@dataclass
class CausalBatches:
    """Windows of `context` + 1 tokens, visited in golden-ratio strides from a start that seed and epoch choose.

    `at(step)` gives a `Batch` whose targets are the inputs shifted by one. An epoch shows every window once,
    and any prefix of it is spread evenly over the whole text: real corpora lie in lumps, and with a random order the
    luck of the first million tokens moved the loss by 1 % (docs/log.md).
    """

    tokens: NDArray[np.unsignedinteger]
    context: int
    batch: int
    seed: int
    device: str = "cpu"

    def __post_init__(self) -> None:
        self.windows = (len(self.tokens) - 1) // self.context
        if self.windows < self.batch:
            raise UserError(
                f"The training text has {len(self.tokens)} tokens, less than one batch of {self.batch} sequences of "
                f"{self.context}: use more text, a smaller batch or a shorter context."
            )
        self._stride = max(1, round(self.windows * GOLDEN))
        while math.gcd(self._stride, self.windows) > 1:
            self._stride += 1

    def at(self, step: int) -> Batch:
        """Inputs and targets (batch, context) of `step`, counted from 0."""
        places = range(step * self.batch, (step + 1) * self.batch)
        rows_BT = np.stack([self._window(place) for place in places]).astype(np.int64)
        return shifted(torch.from_numpy(rows_BT).to(self.device))

    def _window(self, place: int) -> NDArray[np.unsignedinteger]:
        epoch, index = divmod(place, self.windows)
        start = (index * self._stride + self._first(epoch)) % self.windows * self.context
        return self.tokens[start : start + self.context + 1]

    def _first(self, epoch: int) -> int:
        return int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0]) % self.windows


def shifted(rows: Tensor) -> Batch:
    """Next-token prediction on `rows` (B, T + 1): the first T tokens in, the last T out."""
    return Batch(inputs=rows[:, :-1], targets=rows[:, 1:])


def validation_batch(tokens: NDArray[np.unsignedinteger], *, context: int, count: int) -> Batch:
    """`count` sequences of `context` tokens and their successors, or all where there are fewer.

    They lie spread evenly over the validation text. Raises `UserError` where the text holds not even one.
    """
    windows = (len(tokens) - 1) // context
    if windows < 1:
        raise UserError(
            f"The validation text has {len(tokens)} tokens, less than one sequence of {context}: "
            "use more text, a larger corpus.valid_percent or a shorter context."
        )
    chosen = np.unique(np.linspace(0, windows - 1, min(count, windows)).round().astype(np.int64))
    rows = np.stack([tokens[i * context : i * context + context + 1] for i in chosen])
    return shifted(torch.from_numpy(rows.astype(np.int64)))
