"""The text that a language model is measured on: documents, read as a corpus is, and the pieces that figures are of."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isoflop.data.sources import documents_of
from isoflop.errors import UserError

LEAST_UNITS = 32
"""With fewer documents than this an interval is over pieces of documents."""
PIECE = 4_096
"""Characters of a piece, where that makes enough of them."""


@dataclass(frozen=True)
class Document:
    """One text, and its name."""

    name: str
    text: str


@dataclass(frozen=True)
class Texts:
    """Documents in order; `replaced` counts bytes that were no UTF-8 and became U+FFFD."""

    documents: tuple[Document, ...]
    replaced: int
    cut: bool
    """Whether there was more than the most that was asked for."""

    @property
    def bytes(self) -> int:
        """Length of the text in UTF-8, as it was read."""
        return sum(len(one.text.encode()) for one in self.documents)

    @property
    def hash(self) -> str:
        """Of the names and the text."""
        digest = hashlib.sha256()
        for one in self.documents:
            digest.update(one.name.encode("utf-8", "surrogatepass") + b"\0" + one.text.encode() + b"\0")
        return digest.hexdigest()[:16]


def read_texts(paths: Sequence[str], *, column: str = "text", most_bytes: int | None = None) -> Texts:
    """The documents of files, folders and patterns, or their first `most_bytes`; blank ones are left out.

    Raises `UserError` where a path matches nothing, a column is missing, or no text is found.
    """
    documents, replaced, left = list[Document](), 0, math.inf if most_bytes is None else most_bytes
    if left < 1:
        raise UserError(f"--max-bytes must be at least 1, not {most_bytes}.")
    cut = False
    try:
        for name, parts in documents_of(paths, column):
            if left <= 0:
                cut = True
                break
            found, broken = zip(*parts, strict=True) if (parts := list(parts)) else ((), ())
            data = "".join(found).encode("utf-8", "replace")
            cut |= len(data) > left
            text = data[: int(min(left, len(data)))].decode("utf-8", "ignore")
            if text.strip():
                documents.append(Document(name, text))
                replaced, left = replaced + sum(broken), left - len(data)
    except UserError as error:  # the reader speaks of a plan's keys
        said = str(error).removeprefix("corpus.paths: ").replace("set corpus.column", "choose one with --column")
        raise UserError(said) from error
    if not documents:
        raise UserError(f"There is no text in {', '.join(paths)}: name files with text, or its --column.")
    return Texts(tuple(documents), replaced, cut)


@dataclass(frozen=True)
class Units:
    """What an interval resamples: documents, or pieces of them where there are few.

    A piece is a stretch of about `PIECE` characters, or shorter, so that there are `LEAST_UNITS` of them. It depends on
    the text alone, so that models with different tokenizers have the same ones.
    """

    names: tuple[str, ...]
    bytes: NDArray[np.int64]
    what: str
    first: tuple[int, ...]
    """The number of each document's first unit."""
    ends: tuple[NDArray[np.int64], ...]
    """Where each document's units end, in characters."""

    def __len__(self) -> int:
        return len(self.names)

    def of(self, document: int, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The units of tokens that start at these characters of a document."""
        ends = self.ends[document]
        inside = np.searchsorted(ends, starts, side="right")
        return self.first[document] + np.minimum(inside, len(ends) - 1)


def units_of(texts: Texts) -> Units:
    """Documents where there are enough of them, else pieces of equal length of each."""
    documents = texts.documents
    total = sum(len(one.text) for one in documents)
    length = min(PIECE, max(1, total // LEAST_UNITS))
    whole = len(documents) >= LEAST_UNITS
    names, sizes, first, all_ends = list[str](), list[int](), list[int](), []
    for one in documents:
        pieces = 1 if whole else max(1, round(len(one.text) / length))
        ends = np.linspace(0, len(one.text), pieces + 1).round().astype(np.int64)[1:]
        begins = [0, *ends[:-1].tolist()]
        first.append(len(names))
        all_ends.append(ends)
        for number, (begin, end) in enumerate(zip(begins, ends.tolist(), strict=True), start=1):
            names.append(one.name if pieces == 1 else f"{one.name}, piece {number}")
            sizes.append(len(one.text[begin:end].encode()))
    what = "documents" if whole else f"pieces of about {length:,} characters"
    return Units(tuple(names), np.array(sizes), what, tuple(first), tuple(all_ends))


def sources(paths: Sequence[str]) -> list[str]:
    """The paths as a record holds them."""
    return [str(Path(path)) for path in paths]
