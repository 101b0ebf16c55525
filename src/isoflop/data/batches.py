"""Batches of running text for language models: causal, causal within documents, and with a two-way prefix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isoflop.data.mixture import Flat, MixedTokens, Rows, Tokens, Windows, parts_of
from isoflop.data.order import largest_remainder, step_generator
from isoflop.errors import UserError
from isoflop.models import IGNORED, Batch


@dataclass
class CausalBatches:
    """Next-token prediction: windows of `context` + 1 tokens, whose targets are the inputs shifted by one.

    With `end`, the number of the end-of-text token, several documents in a window do not see each other. The token
    that ends a document then also begins the next one, so that packed documents are trained as if each stood alone
    behind such a token: every token of the text is predicted once in an epoch, the first of a document too.
    """

    tokens: Tokens
    context: int
    batch: int
    seed: int
    device: str = "cpu"
    end: int | None = None

    def __post_init__(self) -> None:
        self._windows = Windows(self.tokens, self.context, batch=self.batch, seed=self.seed, beyond=1)
        self.sequences = self._windows.order.count

    def starts(self, step: int) -> list[int]:
        """Where in the training text each row of `step` begins: `TokenData.origin` says what stands there."""
        return self._windows.starts(step)

    def at(self, step: int) -> Batch:
        """Inputs and targets (batch, context) of `step`, counted from 0."""
        batch = shifted(torch.from_numpy(self._windows.rows(step)).to(self.device))
        if self.end is None:
            return batch
        return batch._replace(documents=documents_in(batch.inputs, self.end))


@dataclass
class PrefixBatches:
    """Prefix language modelling (Raffel et al. 2020, arXiv 1910.10683, section 3.2.1): of each window a first part, of
    any length from 1 to `context` - 1, is seen in both directions, and what follows it is predicted."""

    tokens: Tokens
    context: int
    batch: int
    seed: int
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.context < 2:
            raise UserError(f"Prefixes need a context of at least 2 tokens, not {self.context}.")
        self._windows = Windows(self.tokens, self.context, batch=self.batch, seed=self.seed, beyond=1)
        self.sequences = self._windows.order.count

    def at(self, step: int) -> Batch:
        """The batch of `step`; the last token of a prefix predicts the first one behind it."""
        rows_BT = self._windows.rows(step)
        prefix_B = step_generator(self.seed, step).integers(1, self.context, size=self.batch)
        targets_BT = rows_BT[:, 1:].copy()
        targets_BT[np.arange(self.context) < prefix_B[:, None] - 1] = IGNORED
        inputs_BT = np.ascontiguousarray(rows_BT[:, :-1])
        batch = Batch(torch.from_numpy(inputs_BT), torch.from_numpy(targets_BT), prefix=torch.from_numpy(prefix_B))
        return batch.to(self.device)


def shifted(rows: Tensor) -> Batch:
    """Next-token prediction on `rows` (B, T + 1): the first T tokens in, the last T out."""
    return Batch(inputs=rows[:, :-1], targets=rows[:, 1:])


def documents_in(inputs_BT: Tensor, end: int) -> Tensor:
    """Document numbers (B, T) from 1, a new one beginning at every `end` token."""
    begun_BT = (inputs_BT == end).cumsum(dim=1)
    return begun_BT - begun_BT[:, :1] + 1


def validation_batch(tokens: Tokens, *, context: int, count: int) -> Batch:
    """`count` sequences of `context` tokens and their successors, or all where there are fewer.

    They lie spread evenly over the validation text. Of a mixture each part has its share of them, and there are fewer
    where a part holds too few for that. Raises `UserError` where a text holds not even one.
    """
    parts = parts_of(tokens)
    windows = [(len(part) - 1) // context for part in parts]
    if min(windows) < 1:
        short = windows.index(min(windows))
        of_part = f" of {tokens.names[short]!r}" if isinstance(tokens, MixedTokens) else ""
        raise UserError(
            f"The validation text{of_part} has {len(parts[short])} tokens, less than one sequence of {context}: "
            "use more text, a larger corpus.valid_percent or a shorter context."
        )
    counts = [min(windows[0], count)]
    if isinstance(tokens, MixedTokens):
        most = min(int(number / share) for number, share in zip(windows, tokens.shares, strict=True))
        counts = [max(1, one) for one in largest_remainder(tokens.shares, max(1, min(count, most)))]
    rows = [_evenly(*one, context=context) for one in zip(parts, windows, counts, strict=True)]
    return shifted(torch.from_numpy(np.concatenate(rows)))


def _evenly(tokens: Flat, windows: int, count: int, *, context: int) -> Rows:
    chosen = np.unique(np.linspace(0, windows - 1, min(count, windows)).round().astype(np.int64))
    return np.stack([tokens[i * context : i * context + context + 1] for i in chosen]).astype(np.int64)
