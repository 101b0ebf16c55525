"""Span corruption: spans are cut out, and the decoder says what stood there (Raffel et al. 2020, arXiv 1910.10683,
section 3.1.4).

text     a b c d e f g h        (c d and g are cut out)
source   a b <0> e f <1> h <end>
targets  <0> c d <1> g <end>
inputs   <pad> <0> c d <1> g    (the targets, one later)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from isoflop.data.mixture import Rows, Tokens, Windows
from isoflop.data.order import step_generator
from isoflop.data.special_tokens import PAD, Vocabulary
from isoflop.errors import UserError
from isoflop.models import Batch


@dataclass(frozen=True)
class SpanCorruption:
    """`density` of the tokens is cut out, in spans of `mean_length` tokens on average.

    Number and total length of the spans depend on the length of the text alone, so that all sequences of a batch are
    equally long and nothing is padded. Where the spans lie and how long each is, is drawn evenly from all ways of
    keeping at least one token between two of them (T5's own draw begins every text with a kept token and ends it
    with a span).
    """

    density: float = 0.15
    mean_length: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.density < 1:
            raise UserError(f"The share of tokens in spans must be between 0 and 1, not {self.density}.")
        if not self.mean_length >= 1:
            raise UserError(f"Spans must be at least one token long on average, not {self.mean_length}.")

    def sizes(self, length: int) -> tuple[int, int]:
        """How many of `length` tokens are cut out, and in how many spans."""
        noise = min(max(1, round(length * self.density)), length - 1)
        spans = min(max(1, round(noise / self.mean_length)), noise, length - noise + 1)
        return noise, spans

    def text_length(self, context: int) -> int:
        """The longest text whose source, with its marks and its end, has at most `context` tokens."""
        length = 2
        while self.source_length(length + 1) <= context:
            length += 1
        if self.source_length(length) > context:
            raise UserError(f"Span corruption needs a context of at least {self.source_length(2)}, not {context}.")
        return length

    def source_length(self, length: int) -> int:
        """Tokens of the source of a text of `length`."""
        noise, spans = self.sizes(length)
        return length - noise + spans + 1

    def spans(self, length: int, draw: np.random.Generator) -> list[tuple[int, int]]:
        """Start and end of each span in a text of `length`, in order."""
        noise, count = self.sizes(length)
        lengths = _parts(noise, count, draw)
        kept = _parts(length - noise + 2, count + 1, draw)
        kept[0] -= 1  # what stands before the first span and behind the last may be nothing
        found, place = [], 0
        for gap, size in zip(kept[:-1], lengths, strict=True):
            found.append((place + gap, place + gap + size))
            place += gap + size
        return found

    def apply(self, row_T: Rows, vocabulary: Vocabulary, draw: np.random.Generator) -> tuple[Rows, Rows]:
        """Source and targets of one text."""
        source: list[Rows] = []
        targets: list[Rows] = []
        place = 0
        first = vocabulary.text_size + 1
        for number, (start, stop) in enumerate(self.spans(len(row_T), draw)):
            mark = np.array([first + number])
            source += [row_T[place:start], mark]
            targets += [mark, row_T[start:stop]]
            place = stop
        end = np.array([vocabulary.end])
        return np.concatenate((*source, row_T[place:], end)), np.concatenate((*targets, end))


def _parts(total: int, count: int, draw: np.random.Generator) -> list[int]:
    """`count` whole numbers from 1 that add up to `total`, every way equally likely."""
    cuts = np.sort(draw.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(np.concatenate(([0], cuts, [total]))).tolist()


@dataclass
class SpanBatches:
    """Source, inputs and targets of an encoder-decoder whose source has at most `context` tokens.

    `vocabulary` has [PAD], with which the decoder begins, and behind it a sentinel for each span.
    """

    tokens: Tokens
    context: int
    batch: int
    seed: int
    vocabulary: Vocabulary
    device: str = "cpu"
    corruption: SpanCorruption = field(default_factory=SpanCorruption)

    def __post_init__(self) -> None:
        length = self.corruption.text_length(self.context)
        self._windows = Windows(self.tokens, length, batch=self.batch, seed=self.seed)
        self.sequences = self._windows.order.count

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        draw = step_generator(self.seed, step)
        pairs = [self.corruption.apply(row_T, self.vocabulary, draw) for row_T in self._windows.rows(step)]
        source_BS, targets_BT = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
        inputs_BT = started(targets_BT, self.vocabulary.number(PAD))
        return Batch(inputs_BT, targets_BT, source=source_BS).to(self.device)


def started(targets_BT: torch.Tensor, start: int) -> torch.Tensor:
    """What a decoder reads to predict `targets_BT`: `start`, then the targets without their last."""
    return torch.cat((torch.full_like(targets_BT[:, :1], start), targets_BT[:, :-1]), dim=1)
