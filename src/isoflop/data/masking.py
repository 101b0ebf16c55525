"""Masked language modelling: some tokens are hidden, swapped or only asked for, and the model has to name them.

B sequences, T tokens. Devlin et al. 2019 (arXiv 1810.04805, section 3.1 and appendix A.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from isoflop.data.batches import documents_in
from isoflop.data.mixture import Rows, Tokens, Windows
from isoflop.data.order import step_generator
from isoflop.data.special_tokens import CLS, MASK, SEP, Vocabulary
from isoflop.errors import UserError
from isoflop.models import IGNORED, Batch

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Masking:
    """How tokens are chosen and what becomes of them.

    `rate` of a sequence's text tokens (rounded, at least one) is to be predicted; of those, 80 % are replaced by
    [MASK], 10 % by a random token of the text's vocabulary, and 10 % stay. With `whole_words` whole words are chosen,
    in random order, each if it still fits (the shortest, if none does); words are those of `Vocabulary.of`.
    """

    rate: float = 0.15
    whole_words: bool = False
    hidden: float = 0.8
    swapped: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise UserError(f"The share of tokens to mask must be between 0 and 1, not {self.rate}.")

    def apply(self, rows_BT: Rows, vocabulary: Vocabulary, draw: np.random.Generator) -> tuple[Rows, Rows]:
        """Inputs and targets of `rows_BT`; only tokens of the text, its end mark excepted, are ever chosen."""
        maskable_BT = (rows_BT < vocabulary.text_size) & (rows_BT != vocabulary.end)
        if self.whole_words:
            chosen_BT = self._words(rows_BT, maskable_BT, vocabulary, draw)
        else:
            chosen_BT = self._tokens(maskable_BT, draw)
        fate_BT = draw.random(rows_BT.shape)
        other_BT = draw.integers(0, vocabulary.text_size - 1, rows_BT.shape)
        other_BT += other_BT >= vocabulary.end
        hidden_BT = chosen_BT & (fate_BT < self.hidden)
        swapped_BT = chosen_BT & ~hidden_BT & (fate_BT < self.hidden + self.swapped)
        inputs_BT = np.where(hidden_BT, vocabulary.number(MASK), np.where(swapped_BT, other_BT, rows_BT))
        return inputs_BT, np.where(chosen_BT, rows_BT, IGNORED)

    def count(self, maskable_BT: Mask) -> NDArray[np.int64]:
        """How many tokens of each sequence are predicted (B,)."""
        there_B = maskable_BT.sum(axis=1)
        return np.minimum(np.maximum(1, np.rint(self.rate * there_B)), there_B).astype(np.int64)

    def _tokens(self, maskable_BT: Mask, draw: np.random.Generator) -> Mask:
        keys_BT = np.where(maskable_BT, draw.random(maskable_BT.shape), 2.0)
        rank_BT = keys_BT.argsort(axis=1).argsort(axis=1)
        return rank_BT < self.count(maskable_BT)[:, None]

    def _words(self, rows_BT: Rows, maskable_BT: Mask, vocabulary: Vocabulary, draw: np.random.Generator) -> Mask:
        chosen_BT = np.zeros_like(maskable_BT)
        for row_T, maskable_T, chosen_T, left in zip(
            rows_BT, maskable_BT, chosen_BT, self.count(maskable_BT), strict=True
        ):
            word_T = words_of(row_T, maskable_T, vocabulary)
            lengths = np.bincount(word_T, minlength=1)
            shuffled = draw.permutation(np.arange(1, len(lengths)))
            for word in shuffled:
                if lengths[word] <= left:
                    chosen_T |= word_T == word
                    left -= lengths[word]
            if len(shuffled) and not chosen_T.any():  # every word is too long: the shortest then
                chosen_T |= word_T == shuffled[lengths[shuffled].argmin()]
        return chosen_BT


def words_of(row_T: Rows, maskable_T: Mask, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """The number of each token's word (T,), counted from 1; 0 where a token belongs to none."""
    starts_T = vocabulary.starts_word[np.minimum(row_T, vocabulary.text_size - 1)]
    after_T = np.concatenate(([True], ~maskable_T[:-1]))
    return np.where(maskable_T, (maskable_T & (starts_T | after_T)).cumsum(), 0)


@dataclass
class MaskedBatches:
    """[CLS], `context` - 2 tokens of running text, [SEP], masked; with `packed`, documents do not see each other."""

    tokens: Tokens
    context: int
    batch: int
    seed: int
    vocabulary: Vocabulary
    device: str = "cpu"
    masking: Masking = field(default_factory=Masking)
    packed: bool = False

    def __post_init__(self) -> None:
        if self.context < 3:
            raise UserError(f"Masking needs a context of at least 3 tokens ([CLS], text, [SEP]), not {self.context}.")
        self._windows = Windows(self.tokens, self.context - 2, batch=self.batch, seed=self.seed)
        self.sequences = self._windows.order.count

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        text_BT = self._windows.rows(step)
        first_B1 = np.full((self.batch, 1), self.vocabulary.number(CLS))
        last_B1 = np.full((self.batch, 1), self.vocabulary.number(SEP))
        rows_BT = np.concatenate((first_B1, text_BT, last_B1), axis=1)
        draw = step_generator(self.seed, step)
        inputs_BT, targets_BT = (torch.from_numpy(part) for part in self.masking.apply(rows_BT, self.vocabulary, draw))
        documents_BT = documents_in(torch.from_numpy(rows_BT), self.vocabulary.end) if self.packed else None
        return Batch(inputs_BT, targets_BT, documents=documents_BT).to(self.device)
