"""A Hugging Face data set as a corpus: read in a stream, whose position is on disk beside what was read of it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isoflop.data.spool import Spool, SpoolWriter
from isoflop.errors import UserError
from isoflop.executors import alone
from isoflop.files import write_json

SAVE_ROWS = 20_000
SAVE_SECONDS = 10.0
"""The position is saved after so many rows, or so many seconds."""
POSITION = "position.json"


def spool_stream(name: str, *, files: tuple[str, ...], column: str, folder: Path) -> Spool | None:
    """The rows of the `train` split of a data set, laid down below `folder`; None where all of them are blank.

    `name` is a data set of the Hub or one of the readers of `datasets` (`json`, `parquet`, `csv`, `text`) with its
    `files`. What was laid down stays, and is read again instead of the source as long as that is the same; broken off,
    it goes on from the last position saved. Raises `UserError` where the data set or its column can't be had.
    """
    with _mistakes(name):
        from datasets import load_dataset, load_dataset_builder

        data_files = {"data_files": {"train": list(files)}} if files else {}
        builder = load_dataset_builder(name, **data_files)
        rows = load_dataset(name, split="train", streaming=True, **data_files)
    folder = folder / f"stream-{_key(name, files, column, builder)}"
    with alone(folder, what="a reading of the data set"):
        return _Reading(name, column, folder, rows).finish()


def _key(name: str, files: tuple[str, ...], column: str, builder: Any) -> str:
    """Changes with what is read: revisions on the Hub, dates of local files."""
    origins = {split: found.origin_metadata for split, found in (builder.config.data_files or {}).items()}
    described = json.dumps([name, files, column, builder.config.name, builder.hash, origins], default=str)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


@contextmanager
def _mistakes(name: str, advice: str = "") -> Iterator[None]:
    """Turn whatever the package raises into a `UserError` of one line."""
    try:
        yield
    except ImportError as error:
        raise UserError("corpus.dataset needs the package 'datasets': pip install 'isoflop[data]'.") from error
    except UserError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"corpus.dataset: {name!r} could not be read: {reason}{advice}.") from error


class _Reading:
    """The walk through a data set, from wherever the last one ended."""

    def __init__(self, name: str, column: str, folder: Path, rows: Any) -> None:
        self.name, self.column, self.path, self.rows = name, column, folder / POSITION, rows
        self.writer = SpoolWriter(folder, keep=True)
        self.read, self.done = 0, False
        try:
            position = json.loads(self.path.read_text(encoding="utf-8"))
            self.writer.restore(position["sizes"])
            self.read, self.done = position["rows"], position["done"]
        except (OSError, ValueError, KeyError):
            self.writer.restore([0, 0, 0, 0])  # nothing usable: from the start
            return
        if not self.done:
            with _mistakes(name):
                rows.load_state_dict(position["stream"])

    def finish(self) -> Spool | None:
        """Read what is left."""
        if not self.done:
            saved_at, since = time.monotonic(), 0
            for text in self._texts():
                self.read, since = self.read + 1, since + 1
                self.writer.add(f"{self.name}:{self.read}", [(text, 0)])
                if since >= SAVE_ROWS or time.monotonic() - saved_at > SAVE_SECONDS:
                    self._save(done=False)
                    saved_at, since = time.monotonic(), 0
            self._save(done=True)
        return self.writer.spool() if self.writer.documents else None

    def _texts(self) -> Iterator[str]:
        with _mistakes(self.name, "; the same command goes on from the last position saved"):
            for row in self.rows:
                if self.column not in row:
                    raise UserError(f"corpus.dataset: {self.name!r} has no column {self.column!r}: set corpus.column.")
                yield str(row[self.column] or "")

    def _save(self, *, done: bool) -> None:
        """First the text, then the position that speaks of it."""
        sizes = self.writer.sync()
        stream = self.rows.state_dict()
        write_json(self.path, {"sizes": sizes, "rows": self.read, "done": done, "stream": stream})
