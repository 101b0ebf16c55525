"""Two pieces of text and the question how they belong together, with masking: BERT's and ALBERT's objectives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from isoflop.data.masking import Masking
from isoflop.data.mixture import Flat, MixedTokens, Rows, Tokens
from isoflop.data.order import GoldenOrder, step_generator
from isoflop.data.special_tokens import CLS, PAD, SEP, Vocabulary
from isoflop.errors import UserError
from isoflop.models import PADDING, Batch

Question = Literal["next", "order"]


@dataclass
class SentencePairBatches:
    """[CLS] A [SEP] B [SEP], masked, with the pair's label in `order`; padded where a document is short.

    A and B are one stretch of a document, cut at a random place ("sentence" in BERT's sense, any contiguous text).
    `question` next: in half of the pairs B is a stretch of as many tokens from another document, label 1 (Devlin et
    al. 2019, arXiv 1810.04805, appendix A.2). `question` order: in half of the pairs A and B are swapped, label 1 (Lan
    et al. 2020, arXiv 1909.11942, section 3.1).
    """

    tokens: Tokens
    context: int
    batch: int
    seed: int
    vocabulary: Vocabulary
    question: Question = "next"
    device: str = "cpu"
    masking: Masking = field(default_factory=Masking)

    def __post_init__(self) -> None:
        self.room = self.context - 3
        if self.room < 2:
            raise UserError(f"Pairs of sentences need a context of at least 5 tokens, not {self.context}.")
        if isinstance(self.tokens, MixedTokens):
            raise UserError("Pairs of sentences are not drawn from a mixture: train on one corpus, or choose 'masked'.")
        self._text: Flat = self.tokens
        ends = np.flatnonzero(self._text == self.vocabulary.end)
        starts = np.concatenate(([0], ends + 1))
        stops = np.concatenate((ends, [len(self.tokens)]))
        long_enough = stops - starts >= 2
        self._starts, self._stops = starts[long_enough], stops[long_enough]
        self._before = np.concatenate(([0], np.cumsum(self._stops - self._starts)))
        count = int(self._before[-1]) // self.room
        if len(self._starts) < (2 if self.question == "next" else 1) or count < self.batch:
            raise UserError(
                f"The text has {len(self._starts)} documents of two tokens or more, {int(self._before[-1])} tokens "
                f"together: too little for a batch of {self.batch} sentence pairs in a context of {self.context}."
            )
        self.sequences = count
        self._order = GoldenOrder(count, self.batch, self.seed)

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        draw = step_generator(self.seed, step)
        label_B = draw.integers(0, 2, self.batch)
        pairs = [self._pair(index, label, draw) for index, label in zip(self._order.at(step), label_B, strict=True)]
        rows_BT = np.stack([self._row(first, second) for first, second in pairs])
        inputs_BT, targets_BT = self.masking.apply(rows_BT, self.vocabulary, draw)
        lengths = np.array([(len(first), len(second)) for first, second in pairs])
        place_T, used_B = np.arange(self.context), lengths.sum(axis=1) + 3
        segments_BT = (place_T >= lengths[:, :1] + 2) & (place_T < used_B[:, None])
        documents_BT = np.where(place_T < used_B[:, None], 1, PADDING)
        return Batch(
            inputs=torch.from_numpy(inputs_BT),
            targets=torch.from_numpy(targets_BT),
            documents=torch.from_numpy(documents_BT),
            segments=torch.from_numpy(segments_BT.astype(np.int64)),
            order=torch.from_numpy(label_B),
        ).to(self.device)

    def _pair(self, index: int, label: int, draw: np.random.Generator) -> tuple[Rows, Rows]:
        document = int(np.searchsorted(self._before, index * self.room, side="right")) - 1
        stretch = self._stretch(document, index * self.room - int(self._before[document]), self.room)
        cut = int(draw.integers(1, len(stretch)))
        first, second = stretch[:cut], stretch[cut:]
        if self.question == "order":
            return (second, first) if label else (first, second)
        if label:
            other = (document + int(draw.integers(1, len(self._starts)))) % len(self._starts)
            second = self._stretch(other, int(draw.integers(0, self._length(other))), len(second))
        return first, second

    def _stretch(self, document: int, offset: int, wanted: int) -> Rows:
        """`wanted` tokens of a document from `offset` on, or its last ones, or the whole of it where it is shorter."""
        begin = max(0, min(offset, self._length(document) - wanted)) + int(self._starts[document])
        return self._text[begin : min(begin + wanted, int(self._stops[document]))].astype(np.int64)

    def _length(self, document: int) -> int:
        return int(self._stops[document] - self._starts[document])

    def _row(self, first: Rows, second: Rows) -> Rows:
        row_T = np.full(self.context, self.vocabulary.number(PAD))
        cls, sep = [self.vocabulary.number(CLS)], [self.vocabulary.number(SEP)]
        framed = np.concatenate((cls, first, sep, second, sep))
        row_T[: len(framed)] = framed
        return row_T
