"""Tokens that an objective adds behind the text's own: text is tokenised as ever, the vocabulary grows at its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer

from isoflop.data.shards import END_OF_DOCUMENT
from isoflop.errors import UserError

PAD, CLS, SEP, MASK = "[PAD]", "[CLS]", "[SEP]", "[MASK]"
BERT_TOKENS = (PAD, CLS, SEP, MASK)
WHITE_SPACE = frozenset("ĠĉĊċČč")
"""Space, tab, newline and the like, as byte-level BPE spells them."""


def sentinels(count: int) -> tuple[str, ...]:
    """T5's marks of what was cut out, in order."""
    return tuple(f"<extra_id_{number}>" for number in range(count))


@dataclass(frozen=True)
class Vocabulary:
    """Numbers of tokens. Those of the text are below `text_size`; `end` is its end-of-text token; what an objective
    adds are `specials`, the first of which has the number `text_size`."""

    text_size: int
    end: int
    specials: tuple[str, ...]
    starts_word: NDArray[np.bool_]
    """For each token of the text whether it begins a word."""

    @classmethod
    def of(cls, tokenizer: Tokenizer, specials: tuple[str, ...] = ()) -> Vocabulary:
        """The vocabulary of a tokenizer as it was trained on the text, with `specials` behind it.

        A word begins with a token that begins with white space, and goes on to the next such token (or any token that
        is no text): it is what stands between two spaces, with its punctuation.
        """
        size, end = tokenizer.get_vocab_size(), tokenizer.token_to_id(END_OF_DOCUMENT)
        starts = np.array([(tokenizer.id_to_token(number) or "")[:1] in WHITE_SPACE for number in range(size)])
        if end is None:
            raise UserError(f"The tokenizer has no {END_OF_DOCUMENT}: it was not made by isoflop.")
        return cls(size, end, specials, starts)

    @property
    def size(self) -> int:
        """Entries in all: the least that a model's vocabulary has to hold."""
        return self.text_size + len(self.specials)

    def number(self, special: str) -> int:
        """The number of a special token."""
        return self.text_size + self.specials.index(special)


def with_special_tokens(tokenizer: Tokenizer, specials: tuple[str, ...]) -> Tokenizer:
    """A copy of `tokenizer` that also knows `specials`, with the numbers that `Vocabulary` gives them."""
    extended = Tokenizer.from_str(tokenizer.to_str())
    extended.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    return extended
