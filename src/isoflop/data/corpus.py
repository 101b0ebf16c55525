"""A corpus: which documents there are, which side of the split each is on, and what its content hash is."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isoflop.data.sources import STDLIB, documents_of
from isoflop.data.spool import Part, Spool, SpoolWriter
from isoflop.data.streams import spool_stream
from isoflop.errors import UserError

BUCKET_DOCUMENTS = 1 << 21
"""Copies are looked for among so many documents at a time."""


@dataclass(frozen=True)
class MixturePart:
    """One corpus of a mixture, as a `CorpusConfig` names it, and its weight: its share is that over the sum of all."""

    weight: float
    paths: tuple[str, ...] = ()
    column: str = "text"
    dataset: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise UserError(f"mixture.weight must be above 0 and finite, not {self.weight}.")
        if not self.paths and not self.dataset:
            raise UserError("A part of the mixture names no text: give it paths or a dataset.")

    @property
    def name(self) -> str:
        """What the part is called in records and errors."""
        return self.dataset or ", ".join(self.paths)


@dataclass(frozen=True)
class CorpusConfig:
    """Where the text is.

    `paths` are files, folders, globs, or the word `stdlib`; `column` names the text column of Parquet or JSONL files;
    `dataset` instead names a Hugging Face data set (its `train` split), or one of its readers (`json`, `parquet`,
    `csv`, `text`), whose files are `paths`. `valid_percent` of the documents, chosen by the hash of their names, are
    kept aside for validation; a corpus of one document is split at its end. `mixture` names several corpora instead,
    each with a weight; each is split on its own.
    """

    paths: tuple[str, ...] = (STDLIB,)
    column: str = "text"
    dataset: str = ""
    valid_percent: float = 5.0
    mixture: tuple[MixturePart, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.valid_percent < 100:
            raise UserError(f"corpus.valid_percent must be between 0 and 100, not {self.valid_percent}.")
        if self.mixture and (self.dataset or self.paths not in ((), (STDLIB,))):
            raise UserError("The corpus has a mixture, and text beside it: name all the text in the mixture, or none.")
        if not self.paths and not self.dataset and not self.mixture:
            raise UserError("corpus.paths is empty: name files, folders, globs or the word 'stdlib'.")

    def parts(self) -> tuple[CorpusConfig, ...]:
        """The corpora of the mixture, or this one."""
        if not self.mixture:
            return (self,)
        return tuple(CorpusConfig(one.paths, one.column, one.dataset, self.valid_percent) for one in self.mixture)


@dataclass(frozen=True)
class Document:
    """One text and its name (a relative path, or a row's number), which alone decides its side of the split."""

    name: str
    text: str
    replaced: int
    """Undecodable bytes that were replaced by U+FFFD."""


@dataclass(frozen=True)
class Side:
    """Documents of one side of the split, by number in the spool: each is read from disk when it is asked for."""

    spool: Spool
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Document]:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: int) -> Document:
        number = int(self.numbers[place])
        text = "".join(self.spool.pieces(number))
        return Document(self.spool.name(number), text, int(self.spool.entries["replaced"][number]))


@dataclass(frozen=True)
class Split:
    """The documents of both sides, with what was read and repaired on the way."""

    train: Side
    valid: Side
    content_hash: str

    @property
    def replaced(self) -> int:
        return int(self.train.spool.entries["replaced"].sum())

    @property
    def damaged_documents(self) -> int:
        return int(np.count_nonzero(self.train.spool.entries["replaced"]))


def read_corpus(config: CorpusConfig, *, folder: Path | None = None) -> Split:
    """Lay every document down in `folder` (default: the system's for temporary files) and split by name.

    No document is on both sides, and no copy of one either. The files have no names, and are gone with the last use
    of the split; those of a data set stay, to be read again. Memory is some 10 bytes per document, however long it is.
    Raises `UserError` where a path matches nothing, a column is missing, no text is found, or the disk is full.
    """
    if config.mixture:
        raise UserError("A mixture is read part by part: read_corpus takes one of CorpusConfig.parts().")
    spool = _spool_of(config, folder)
    if spool is None:
        raise UserError(f"The corpus {_where(config)} holds no text: check corpus.paths and corpus.column.")
    return split_spool(spool, config.valid_percent)


def split_documents(documents: Iterable[Document], valid_percent: float, *, folder: Path | None = None) -> Split:
    """The same for documents at hand, of which one at least must not be blank."""
    spool = _laid_down(((one.name, [(one.text, one.replaced)]) for one in documents), folder)
    if spool is None:
        raise UserError("There is no text to split: every document is blank.")
    return split_spool(spool, valid_percent)


def _laid_down(documents: Iterable[tuple[str, Iterable[Part]]], folder: Path | None) -> Spool | None:
    writer = SpoolWriter(folder or Path(tempfile.gettempdir()))
    for name, parts in documents:
        writer.add(name, parts)
    return writer.spool() if writer.documents else None


def split_spool(spool: Spool, valid_percent: float) -> Split:
    """Put about `valid_percent` of the documents on the validation side, by the hash of their names."""
    content_hash = _content_hash(spool, valid_percent)
    if len(spool) == 1:
        spool = _cut(spool, valid_percent)
        return Split(Side(spool, np.array([0])), Side(spool, np.array([1])), content_hash)
    train, valid = _divided(spool, valid_percent)
    return Split(Side(spool, train), Side(spool, valid), content_hash)


def _content_hash(spool: Spool, percent: float) -> str:
    digest = hashlib.sha256(f"{percent}".encode())
    for number in range(len(spool)):
        digest.update(spool.name(number).encode("utf-8", "surrogatepass") + b"\0")
        for block in spool.bytes_of(number):
            digest.update(block)
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _divided(spool: Spool, percent: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split by the hash of the name; a text that stands under several names goes where its first name goes."""
    is_valid = np.empty(len(spool), dtype=bool)
    buckets = -(-len(spool) // BUCKET_DOCUMENTS)
    for bucket in range(buckets):
        # 64 bits of the text's hash: two texts that share them by chance stay on one side, which does no harm.
        here = np.flatnonzero(spool.entries["text_hash"] % np.uint64(buckets) == bucket)
        _, first, which = np.unique(spool.entries["text_hash"][here], return_index=True, return_inverse=True)
        is_valid[here] = (_fractions(spool, here[first]) * 100 < percent)[which]
    if is_valid.all() or not is_valid.any():
        ordered = np.argsort(_fractions(spool, np.arange(len(spool))), kind="stable")
        n_valid = min(len(spool) - 1, max(1, round(len(spool) * percent / 100)))
        return ordered[n_valid:], ordered[:n_valid]
    return np.flatnonzero(~is_valid), np.flatnonzero(is_valid)


def _fractions(spool: Spool, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where the names' hashes lie between 0 and 1."""
    return spool.entries["name_hash"][numbers].astype(np.float64) / 2.0**64


def _cut(spool: Spool, percent: float) -> Spool:
    """The only document as two: all but its end, and its end."""
    cut = int(int(spool.entries["characters"][0]) * (1 - percent / 100))
    writer = SpoolWriter(spool.folder)
    writer.add(spool.name(0), _stretch(spool, 0, cut))
    writer.add(spool.name(0) + " (end)", _stretch(spool, cut, None))
    if writer.documents < 2:
        raise UserError(
            f"The only document, {spool.name(0)}, is too short to be cut in two at {percent:g} % from its end: use "
            "more text or another corpus.valid_percent."
        )
    return writer.spool()


def _stretch(spool: Spool, begin: int, end: int | None) -> Iterator[Part]:
    """Characters `begin` to `end` of the only document; what was repaired in it counts for its beginning."""
    place = 0
    yield "", int(spool.entries["replaced"][0]) if begin == 0 else 0
    for piece in spool.pieces(0):
        yield piece[max(0, begin - place) : None if end is None else max(0, end - place)], 0
        place += len(piece)


def _spool_of(config: CorpusConfig, folder: Path | None) -> Spool | None:
    if not config.dataset:
        return _laid_down(documents_of(config.paths, config.column), folder)
    files = () if config.paths == (STDLIB,) else config.paths
    folder = folder or Path(tempfile.gettempdir())
    return spool_stream(config.dataset, files=files, column=config.column, folder=folder)


def _where(config: CorpusConfig) -> str:
    return config.dataset or ", ".join(config.paths)
