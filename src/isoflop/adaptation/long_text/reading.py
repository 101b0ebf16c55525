"""What a model reads of a text that is longer than itself: one end, both, or all of it in segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from isoflop.adaptation.long_text.segments import JOINS, Segments
from isoflop.adaptation.long_text.windows import PATTERNS
from isoflop.adaptation.pretrained import ENCODED_AT_ONCE, Tokenized, no_token, tokenize
from isoflop.errors import UserError
from isoflop.shapes import ModelShape

LOST: dict[str, str] = {"head": "ends", "tail": "beginnings", "both": "middles", "window": "ends", "strided": "ends"}
"""What is cut off a text that is too long."""
SEGMENTED = ("segments", "hierarchical")
WAYS = ("head", "tail", "both", *SEGMENTED, *PATTERNS)
FIRST_SHARE = 4
"""Of both ends the first has one token in so many (Sun et al. 2019, arXiv 1905.05583, section 5.3.1: 128 of 510)."""
OVERLAP_SHARE = 8
"""A segment begins this share of its tokens before the last one ends, so that no phrase is always cut in two."""


@dataclass(frozen=True)
class Reading:
    """How long texts are read, `longest` tokens at a time.

    `head`, `tail` and `both` read so many tokens of a text and drop the rest, `window` and `strided` read so many by
    attention to near tokens, or to those and some far ones. `segments` reads a text in pieces of so many, which overlap
    by an eighth, and joins their vectors by `join`; `hierarchical` joins them by a small Transformer. Of a text with
    more than `most` segments so many are read, evenly spaced.
    """

    longest: int
    way: str = "head"
    join: str = "mean"
    most: int = 16

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise UserError(f"--long is {self.way!r}: choose {', '.join(WAYS)}.")
        if self.join not in JOINS:
            raise UserError(f"The setting join is {self.join!r}: choose {' or '.join(JOINS)}.")
        if self.most < 2:
            raise UserError(f"The setting most is {self.most}: a text that is read in segments has 2 or more.")

    @property
    def is_segmented(self) -> bool:
        return self.way in SEGMENTED

    def tokens(self, tokenizer: Tokenizer, texts: Sequence[str]) -> Tokenized:
        """Token numbers of what is read of each text; segments stand one behind the other, all but the last of them
        `longest` tokens long. Raises `UserError` for a text that has no token at all."""
        if self.way in ("head", *PATTERNS):
            return tokenize(tokenizer, texts, longest=self.longest)
        sequences, cut = [], 0
        for start in range(0, len(texts), ENCODED_AT_ONCE):
            some = list(texts[start : start + ENCODED_AT_ONCE])
            for text, encoding in zip(some, tokenizer.encode_batch(some), strict=True):
                if all(encoding.special_tokens_mask):
                    raise no_token(text)
                tokens, is_cut = self._read(encoding)
                sequences.append(np.asarray(tokens, dtype=np.int32))
                cut += is_cut
        return Tokenized(sequences, cut)

    def segments(self, shape: ModelShape, *, seed: int) -> Segments | None:
        """What joins the vectors of a text's segments, for a model of `shape`; None where there is one piece only."""
        if not self.is_segmented:
            return None
        join = "transformer" if self.way == "hierarchical" else self.join
        return Segments(shape, tokens=self.longest, join=join, most=self.most, seed=seed)

    def notes(self, parts: Mapping[str, Tokenized]) -> tuple[str, ...]:
        """What to say of texts that are not read whole, part by part."""
        cut = {name: f"{one.cut} of the {len(one):,} texts of {name}" for name, one in parts.items() if one.cut}
        if self.is_segmented:
            what = f"have more than {self.most} segments: so many were read, evenly spaced."
            return tuple(f"{some} {what}" for some in cut.values())
        what = f"are longer than {self.longest} tokens: their {LOST[self.way]} were cut."
        return tuple(f"{some} {what}" for some in cut.values())

    def __str__(self) -> str:
        if not self.is_segmented:
            return f"of a text longer than {self.longest} tokens the {LOST[self.way]} are cut"
        how = "a Transformer over them" if self.way == "hierarchical" else f"their {self.join}"
        return f"texts are read in at most {self.most} segments of {self.longest} tokens, joined by {how}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def _read(self, encoding: Encoding) -> tuple[list[int], bool]:
        """What is read of one text, and whether that is not the whole."""
        ids, special = encoding.ids, encoding.special_tokens_mask
        before = sum(1 for _ in takewhile(bool, special))
        behind = sum(1 for _ in takewhile(bool, reversed(special)))
        words = ids[before : len(ids) - behind]
        room = self.longest - before - behind
        pieces = [words]
        if self.is_segmented:
            pieces = segments_of(words, room)
        elif len(words) > room:
            first = room // FIRST_SHARE if self.way == "both" else 0
            pieces = [words[:first] + words[len(words) - (room - first) :]]
        chosen = evenly(pieces, self.most)
        is_cut = len(chosen) < len(pieces) or (not self.is_segmented and len(words) > room)
        return [one for piece in chosen for one in (*ids[:before], *piece, *ids[len(ids) - behind :])], is_cut


def segments_of(words: list[int], room: int) -> list[list[int]]:
    """Pieces of `room` tokens (the last has what is left), each of which begins an eighth before the last one's end."""
    stride, starts = room - room // OVERLAP_SHARE, [0]
    while starts[-1] + room < len(words):
        starts.append(starts[-1] + stride)
    return [words[start : start + room] for start in starts]


def evenly(pieces: list[list[int]], most: int) -> list[list[int]]:
    """All pieces, or `most` of them at even distances with the first and the last among them."""
    if len(pieces) <= most:
        return pieces
    return [pieces[round(at * (len(pieces) - 1) / (most - 1))] for at in range(most)]
