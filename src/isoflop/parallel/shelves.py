"""Where the checkpoints of a divided run are kept: a folder that all ranks see, or an object store."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Protocol

from torch.distributed.checkpoint.metadata import Metadata

from isoflop.executors import Store, is_url
from isoflop.files import sync_folder
from isoflop.parallel.manifest import MANIFEST, BoxReader, StoredBoxReader, digest, read_manifest, write_manifest

COMPLETE = re.compile(r"step-(\d+)")
CHUNK_BYTES = 16 * 2**20


class Shelf(Protocol):
    """Checkpoints by their step. Every rank has one; what is `first` is done by the first rank alone, when all others
    have done what comes before it."""

    def place(self, step: int) -> str:
        """What a person calls it."""
        ...

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, ascending."""
        ...

    def clear(self) -> None:
        """First: take away what killed processes left of a save."""
        ...

    def begin(self, step: int) -> Path:
        """A folder of this machine for the rank's files."""
        ...

    def put(self, step: int, rank: int) -> dict[str, str]:
        """Keep the rank's files; returns their SHA-256 by name."""
        ...

    def publish(self, step: int, contents: Metadata, *, files: dict[str, str], rest: dict[str, Any]) -> None:
        """First: make a checkpoint of what all have put."""
        ...

    def forget(self, step: int, *, first: bool) -> None:
        """Take away what is there of a save that failed."""
        ...

    def remove(self, step: int) -> None:
        """First: take a checkpoint away; nobody ever sees a part of it."""
        ...

    def manifest(self, step: int) -> dict[str, Any]:
        """Raises `OSError` or `ValueError` where it can't be read."""
        ...

    def digest(self, step: int, name: str) -> str:
        """SHA-256 of a file. Raises `FileNotFoundError`."""
        ...

    def reader(self, step: int, contents: Metadata) -> BoxReader:
        """Reads boxes of it."""
        ...

    def leave(self) -> None:
        """First: take away what held the checkpoints, if it is empty."""
        ...


def shelf_at(where: Path | str) -> Shelf:
    """The shelf in a folder, or at an address such as s3://bucket/run."""
    return StoreShelf(str(where)) if is_url(where) else FolderShelf(Path(where))


class FolderShelf:
    """A sub-folder `step-N` for each; it has a hidden name until it is complete."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, step: int) -> str:
        return str(self._final(step))

    def steps(self) -> list[int]:
        names = (COMPLETE.fullmatch(path.name) for path in self.folder.glob("step-*"))
        return sorted(int(name[1]) for name in names if name)

    def clear(self) -> None:
        for left in self.folder.glob(".step-*") if self.folder.is_dir() else ():
            shutil.rmtree(left, ignore_errors=True)

    def begin(self, step: int) -> Path:
        self._hidden(step).mkdir(parents=True, exist_ok=True)
        return self._hidden(step)

    def put(self, step: int, rank: int) -> dict[str, str]:
        return {path.name: digest(path) for path in sorted(self._hidden(step).glob(f"__{rank}_*"))}

    def publish(self, step: int, contents: Metadata, *, files: dict[str, str], rest: dict[str, Any]) -> None:
        hidden, final = self._hidden(step), self._final(step)
        write_manifest(hidden, contents, files=files, rest=rest)
        os.replace(hidden, final)
        sync_folder(self.folder)

    def forget(self, step: int, *, first: bool) -> None:
        if first:
            shutil.rmtree(self._hidden(step), ignore_errors=True)

    def remove(self, step: int) -> None:
        gone = self.folder / f".step-{step}.old"
        os.replace(self._final(step), gone)
        shutil.rmtree(gone, ignore_errors=True)

    def manifest(self, step: int) -> dict[str, Any]:
        return read_manifest((self._final(step) / MANIFEST).read_bytes())

    def digest(self, step: int, name: str) -> str:
        return digest(self._final(step) / name)

    def reader(self, step: int, contents: Metadata) -> BoxReader:
        return BoxReader(self._final(step), contents)

    def leave(self) -> None:
        if self.folder.is_dir():  # a short run has made none
            self.folder.rmdir()

    def _final(self, step: int) -> Path:
        return self.folder / f"step-{step}"

    def _hidden(self, step: int) -> Path:
        return self.folder / f".step-{step}"


class StoreShelf:
    """Objects below `step-N/`; a checkpoint is complete when its manifest is there, which is written last.

    Each rank writes to a folder of its machine first, so that nothing half-written is ever sent.
    """

    def __init__(self, url: str) -> None:
        self.store = Store(url)
        self._scratch = Path()

    def place(self, step: int) -> str:
        return f"{self.store}/step-{step}"

    def steps(self) -> list[int]:
        names = (COMPLETE.fullmatch(name.removesuffix(f"/{MANIFEST}")) for name in self.store.names())
        return sorted(int(name[1]) for name in names if name)

    def clear(self) -> None:
        complete = {f"step-{step}" for step in self.steps()}
        for name in self.store.names():
            folder, _, _ = name.partition("/")
            if COMPLETE.fullmatch(folder) and folder not in complete:
                self.store.remove(name)

    def begin(self, step: int) -> Path:
        self._scratch = Path(tempfile.mkdtemp(prefix=f"isoflop-step-{step}-"))
        return self._scratch

    def put(self, step: int, rank: int) -> dict[str, str]:
        files = {path.name: digest(path) for path in sorted(self._scratch.glob(f"__{rank}_*"))}
        for name in files:
            self.store.upload(self._scratch / name, f"step-{step}/{name}")
        return files

    def publish(self, step: int, contents: Metadata, *, files: dict[str, str], rest: dict[str, Any]) -> None:
        write_manifest(self._scratch, contents, files=files, rest=rest)
        self.store.upload(self._scratch / MANIFEST, f"step-{step}/{MANIFEST}")

    def forget(self, step: int, *, first: bool) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        if first and step not in self.steps():
            with contextlib.suppress(OSError):  # what is left, the next start clears away
                self.remove(step)

    def remove(self, step: int) -> None:
        self.store.remove(f"step-{step}/{MANIFEST}")
        for name in self.store.names(f"step-{step}"):
            self.store.remove(name)

    def manifest(self, step: int) -> dict[str, Any]:
        return read_manifest(self.store.read(f"step-{step}/{MANIFEST}"))

    def digest(self, step: int, name: str) -> str:
        found = hashlib.sha256()
        with self.store.opened(f"step-{step}/{name}") as handle:
            while part := handle.read(CHUNK_BYTES):
                found.update(part)
        return found.hexdigest()

    def reader(self, step: int, contents: Metadata) -> BoxReader:
        return StoredBoxReader(self.place(step), contents)

    def leave(self) -> None:
        """Nothing: a store has no folders."""
