"""The text of a corpus, laid down on disk in one pass and read back piece by piece: no corpus has to fit in memory."""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import UserError

PIECE_CHARACTERS = 65_536
"""Long documents are tokenised, and read back, in pieces of so many characters."""
READ_BYTES = 1 << 20

Part = tuple[str, int]
"""A stretch of a document's text, and how many undecodable bytes were replaced in it."""

_ENTRY = struct.Struct("<QQQQQQQ")
_FIELDS = ("text", "name", "piece", "characters", "replaced", "text_hash", "name_hash")
ENTRY = np.dtype([(field, "<u8") for field in _FIELDS])
"""A document in the index: where its text, its name and its pieces begin, its length, its repairs, its hashes."""


@dataclass(frozen=True, eq=False)
class SpoolFiles:
    """The open files of a spool, closed with the last writer or reader."""

    text: BinaryIO
    names: BinaryIO
    pieces: BinaryIO
    index: BinaryIO

    def __iter__(self) -> Iterator[BinaryIO]:
        return iter((self.text, self.names, self.pieces, self.index))


def _opened(folder: Path, *, keep: bool) -> SpoolFiles:
    with spool_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        opened = [_named(folder / name) if keep else _nameless(folder) for name in ("text", "names", "pieces", "index")]
    files = SpoolFiles(*opened)
    weakref.finalize(files, _close, opened)
    return files


def _close(files: list[BinaryIO]) -> None:
    for file in files:
        with suppress(OSError):  # what was to be written was written by `spool` or `sync`, or is given up
            file.close()


class SpoolWriter:
    """Four files that grow: the text, the names, where each piece of text begins, and an entry for each document.

    In `folder` they have no names and are gone when the last reader is, however the process ends; with `keep` they have
    names, and a writer on the same folder goes on from `restore`d sizes. Raises `UserError` for a full disk.
    """

    def __init__(self, folder: Path, *, keep: bool = False) -> None:
        self.folder, self._files = folder, _opened(folder, keep=keep)
        self._sizes = [0, 0, 0, 0]

    @property
    def documents(self) -> int:
        """Documents so far."""
        return self._sizes[3] // _ENTRY.size

    def add(self, name: str, parts: Iterable[Part]) -> None:
        """Lay down a document that comes in `parts`; one of nothing but white space leaves no trace."""
        begin, starts, digest = self._sizes[0], list[int](), hashlib.sha256()
        end, characters, replaced, blank = begin, 0, 0, True
        with spool_errors(self.folder):
            for piece, repairs in _regrouped(parts):
                encoded = piece.encode("utf-8", "surrogatepass")
                self._files.text.write(encoded)
                digest.update(encoded)
                starts.append(end)
                end, characters, replaced = end + len(encoded), characters + len(piece), replaced + repairs
                blank = blank and not piece.strip()
            if blank:
                self._files.text.seek(begin)
                self._files.text.truncate()
                return
            label = name.encode("utf-8", "surrogatepass")
            first = self._sizes[2] // 8
            hashes = (_head(digest.digest()), _head(hashlib.sha256(label).digest()))
            self._files.names.write(label)
            self._files.pieces.write(struct.pack(f"<{len(starts)}Q", *starts))
            self._files.index.write(_ENTRY.pack(begin, self._sizes[1], first, characters, replaced, *hashes))
        self._sizes = [end, self._sizes[1] + len(label), 8 * (first + len(starts)), self._sizes[3] + _ENTRY.size]

    def sync(self) -> list[int]:
        """Bring everything to the disk; returns the files' sizes, from which `restore` goes on."""
        with spool_errors(self.folder):
            for file in self._files:
                file.flush()
                os.fsync(file.fileno())
        return list(self._sizes)

    def restore(self, sizes: list[int]) -> None:
        """Go back to the sizes that `sync` gave. Raises `ValueError` where a file is shorter."""
        for file, size in zip(self._files, sizes, strict=True):
            if os.fstat(file.fileno()).st_size < size:
                raise ValueError(f"a file of the spool is shorter than {size} bytes")
            file.seek(size)
            file.truncate()
        self._sizes = list(sizes)

    def spool(self) -> Spool:
        """What was laid down, to be read. There must be a document."""
        with spool_errors(self.folder):
            for file in self._files:
                file.flush()
        entries = np.memmap(self._files.index, dtype=ENTRY, mode="r", shape=(self.documents,))
        starts = np.memmap(self._files.pieces, dtype="<u8", mode="r", shape=(self._sizes[2] // 8,))
        return Spool(self.folder, self._files, starts, entries, (self._sizes[0], self._sizes[1]))


@dataclass(frozen=True)
class Spool:
    """The documents of a corpus on disk, by number. Holds open files: it belongs to one process."""

    folder: Path
    files: SpoolFiles
    starts: NDArray[np.uint64]
    entries: NDArray[np.void]
    sizes: tuple[int, int]
    """Bytes of all the text and of all the names."""

    def __len__(self) -> int:
        return len(self.entries)

    def name(self, number: int) -> str:
        """The name of a document."""
        begin, end = self._span("name", number, self.sizes[1])
        return os.pread(self.files.names.fileno(), end - begin, begin).decode("utf-8", "surrogatepass")

    def bytes_of(self, number: int) -> Iterator[bytes]:
        """The text of a document as UTF-8 (with lone surrogates), a megabyte at a time."""
        begin, end = self._span("text", number, self.sizes[0])
        for start in range(begin, end, READ_BYTES):
            yield os.pread(self.files.text.fileno(), min(READ_BYTES, end - start), start)

    def piece_range(self, number: int) -> range:
        """The numbers of a document's pieces."""
        return range(*self._span("piece", number, len(self.starts)))

    def pieces(self, number: int) -> Iterator[str]:
        """The text of a document, a piece at a time."""
        return (self.piece(piece) for piece in self.piece_range(number))

    def piece(self, piece: int) -> str:
        """One piece of text, by its number."""
        begin = int(self.starts[piece])
        end = int(self.starts[piece + 1]) if piece + 1 < len(self.starts) else self.sizes[0]
        return os.pread(self.files.text.fileno(), end - begin, begin).decode("utf-8", "surrogatepass")

    def _span(self, field: str, number: int, total: int) -> tuple[int, int]:
        begin = int(self.entries[number][field])
        return begin, int(self.entries[number + 1][field]) if number + 1 < len(self.entries) else total


def _regrouped(parts: Iterable[Part]) -> Iterator[Part]:
    """The same text in pieces of `PIECE_CHARACTERS`, whatever the lengths of `parts`."""
    held, length, repairs = list[str](), 0, 0
    for text, replaced in parts:
        held.append(text)
        length, repairs = length + len(text), repairs + replaced
        if length >= PIECE_CHARACTERS:
            whole = "".join(held)
            cut = length - length % PIECE_CHARACTERS
            for start in range(0, cut, PIECE_CHARACTERS):
                yield whole[start : start + PIECE_CHARACTERS], repairs
                repairs = 0
            held, length = [whole[cut:]], length - cut
    if length:
        yield "".join(held), repairs


def _head(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")


def _nameless(folder: Path) -> BinaryIO:
    return tempfile.TemporaryFile(dir=folder, prefix=".spool-")


def _named(path: Path) -> BinaryIO:
    return path.open("r+b" if path.exists() else "w+b")


@contextmanager
def spool_errors(folder: Path) -> Iterator[None]:
    """Turn a full or forbidden disk into a `UserError` that says where to make room."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The text of the corpus can't be laid down in {folder} ({error.strerror or error}): make room there, or "
            "set XDG_CACHE_HOME to a folder on another disk."
        ) from error
