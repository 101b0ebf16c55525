"""Questions with contexts longer than the model reads: windows that overlap, each with the whole question before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from isoflop.adaptation.pretrained import ENCODED_AT_ONCE, Tokenized
from isoflop.errors import UserError

NO_ANSWER = 0
"""The token that start and end point to where a window has no answer: the first one, [CLS]."""
QUESTION_SHARE = 0.5
"""At most this share of a window is the question; a longer one is cut."""


@dataclass(frozen=True)
class Window:
    """One stretch of an example's context. Its tokens from `first` on are `offsets` (n, 2) of characters there."""

    example: int
    first: int
    offsets: NDArray[np.int32]

    def tokens_of(self, begin: int, end: int) -> tuple[int, int]:
        """First and last token of the characters from `begin` to before `end`; `NO_ANSWER` twice where the window has
        not all of them."""
        inside = np.flatnonzero((self.offsets[:, 1] > begin) & (self.offsets[:, 0] < end))
        if not len(inside) or self.offsets[inside[0], 0] > begin or self.offsets[inside[-1], 1] < end:
            return NO_ANSWER, NO_ANSWER
        return self.first + int(inside[0]), self.first + int(inside[-1])


@dataclass(frozen=True)
class Windows:
    """All windows, in order, as token numbers and as what they show; how many questions were cut."""

    texts: Tokenized
    windows: tuple[Window, ...]
    cut_questions: int


def windows_of(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], *, longest: int, stride: int) -> Windows:
    """Windows of at most `longest` tokens over (question, context); neighbours share `stride` tokens, less where the
    question leaves room for less than twice that. Raises `UserError` for a text without a token.
    """
    sequences, segments, windows = [], [], []
    cut = 0
    for begun in range(0, len(pairs), ENCODED_AT_ONCE):
        some = pairs[begun : begun + ENCODED_AT_ONCE]
        for number, encoding in enumerate(tokenizer.encode_batch(list(some)), start=begun):
            ids, types = (np.asarray(one, dtype=np.int32) for one in (encoding.ids, encoding.type_ids))
            before, inside, after = _layout(encoding, longest, pairs[number])
            cut += int(len(before) < inside[0])
            offsets = np.asarray(encoding.offsets, dtype=np.int32)[inside]
            for part in _stretches(len(inside), longest - len(before) - len(after), stride):
                chosen = np.concatenate((before, inside[part], after))
                sequences.append(ids[chosen])
                segments.append(types[chosen].astype(np.int8))
                windows.append(Window(number, len(before), offsets[part]))
    return Windows(Tokenized(sequences, 0, segments), tuple(windows), cut)


def _layout(encoding: Encoding, longest: int, pair: tuple[str, str]) -> tuple[NDArray[np.int64], ...]:
    """Places of what stands before each stretch, a question cut where it is too long; of the context; of the rest."""
    sides = np.array([-1 if side is None else side for side in encoding.sequence_ids])
    question, context = np.flatnonzero(sides == 0), np.flatnonzero(sides == 1)
    if not len(question) or not len(context):
        bad = pair[0] if not len(question) else pair[1]
        raise UserError(f"The text {bad[:40]!r} has no token in the model's vocabulary: delete it or mend it.")
    before = np.arange(context[0])
    too_many = max(0, len(before) - int(QUESTION_SHARE * longest))
    kept = np.delete(before, question[len(question) - too_many :]) if too_many else before
    return kept, context, np.arange(context[-1] + 1, len(sides))


def _stretches(length: int, room: int, stride: int) -> Iterator[slice]:
    step = room - min(stride, room // 2)
    for start in range(0, length, step):
        yield slice(start, start + room)
        if start + room >= length:
            return
