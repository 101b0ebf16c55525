"""Tokens of several corpora in one array: where each part lies in it, and its share of what a training sees."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.data.order import GoldenOrder, MixedOrder, Turns
from isoflop.errors import UserError

Flat = NDArray[np.unsignedinteger]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class MixedTokens:
    """`tokens` of all parts, one after the other; `stops` are where each ends, `shares` add up to 1."""

    tokens: Flat
    stops: tuple[int, ...]
    shares: tuple[float, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tokens)


Tokens = Flat | MixedTokens
"""The tokens of a corpus, or of a mixture of some."""


def parts_of(tokens: Tokens) -> list[Flat]:
    """The tokens of each part; of a corpus that is no mixture, all of them."""
    if not isinstance(tokens, MixedTokens):
        return [tokens]
    return [tokens.tokens[start:stop] for start, stop in zip((0, *tokens.stops), tokens.stops, strict=False)]


@dataclass(frozen=True)
class PartUse:
    """What a run sees of a part: `tokens` in all, of which `unique` are different: it is read `epochs` times."""

    name: str
    share: float
    tokens: int
    unique: int
    epochs: float


def uses(parts: list[tuple[str, float, int]], *, sequences: int, context: int) -> list[PartUse]:
    """What a run of `sequences` sequences of `context` tokens sees of `parts`: their names, shares and sizes."""
    taken = Turns([share for _, share, _ in parts]).taken(sequences)
    return [
        PartUse(name, share, count * context, min(count * context, size), count * context / size)
        for (name, share, size), count in zip(parts, taken, strict=True)
    ]


class Windows:
    """Equal stretches of `length` tokens, side by side over the whole text, each read with `beyond` tokens more.

    None of them lies in two parts of a mixture.
    """

    def __init__(self, tokens: Tokens, length: int, *, batch: int, seed: int, beyond: int = 0) -> None:
        self.length, self.beyond = length, beyond
        self.tokens = tokens.tokens if isinstance(tokens, MixedTokens) else tokens
        sizes = [len(part) for part in parts_of(tokens)]
        counts = [(size - beyond) // length if length > 0 else 0 for size in sizes]
        self._first_token = [0, *np.cumsum(sizes)[:-1].tolist()]
        self._first_window = [0, *np.cumsum(counts)[:-1].tolist()]
        self.order: GoldenOrder | MixedOrder
        if isinstance(tokens, MixedTokens):
            _refuse_short_parts(tokens, counts, length)
            self.order = MixedOrder(counts, tokens.shares, batch=batch, seed=seed)
        elif counts[0] < batch:
            raise UserError(
                f"The text has {len(tokens)} tokens, less than one batch of {batch} sequences of {length}: use more "
                "text, a smaller batch or a shorter context."
            )
        else:
            self.order = GoldenOrder(counts[0], batch, seed)

    def starts(self, step: int) -> list[int]:
        """Where in the text the sequences of `step` begin."""
        return [self._start(index) for index in self.order.at(step)]

    def rows(self, step: int) -> Rows:
        """The sequences of `step` (batch, length + beyond)."""
        size = self.length + self.beyond
        return np.stack([self.tokens[start : start + size] for start in self.starts(step)]).astype(np.int64)

    def _start(self, index: int) -> int:
        part = bisect_right(self._first_window, index) - 1
        return self._first_token[part] + (index - self._first_window[part]) * self.length


def _refuse_short_parts(tokens: MixedTokens, counts: list[int], length: int) -> None:
    for name, part, count in zip(tokens.names, parts_of(tokens), counts, strict=True):
        if count < 1:
            raise UserError(
                f"The part {name!r} of the mixture has {len(part)} tokens, less than one sequence of {length}: use "
                "more text or a shorter context."
            )
