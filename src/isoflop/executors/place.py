"""Folders that all machines share: of a file system, or of an object store through fsspec."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from isoflop.errors import UserError

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "memory": "fsspec"}
"""Stores that can refuse to write over an object that is there, which the leases need; and what reaches them."""


class Place(Protocol):
    """A folder of small files, each of which is written and seen whole."""

    def names(self) -> list[str]:
        """The files there are."""
        ...

    def read(self, name: str) -> bytes:
        """A file's content. Raises `FileNotFoundError`."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Put `data` in place of what is there."""
        ...

    def create(self, name: str, data: bytes) -> None:
        """Write a new file: of several that do so one succeeds, the others get `FileExistsError`."""
        ...

    def remove(self, name: str) -> None:
        """Take it away, if it is there."""
        ...

    def prepare(self) -> None:
        """Make the folder, where there have to be folders."""
        ...

    def leave(self) -> None:
        """Take away the folder, if it is empty."""
        ...


def is_url(place: object) -> bool:
    """Whether this names an object store and not a folder."""
    return "://" in str(place)


def place_of(where: str | Path) -> Place:
    """The folder or store by its path or address. Raises `UserError` for a store that is not known here."""
    return Store(str(where)) if is_url(where) else Folder(Path(where))


class Folder:
    """A folder of a POSIX file system, or of NFS: creating is a hard link to a finished file, which is atomic there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        with self._temporary(data) as temporary:
            os.replace(temporary, self.path / name)

    def create(self, name: str, data: bytes) -> None:
        with self._temporary(data) as temporary:
            os.link(temporary, self.path / name)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def prepare(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)

    def leave(self) -> None:
        with contextlib.suppress(OSError):  # somebody else may be about to use it
            self.path.rmdir()

    @contextmanager
    def _temporary(self, data: bytes) -> Iterator[Path]:
        path = self.path / f".{uuid.uuid4().hex}.tmp"
        try:
            path.write_bytes(data)
            yield path
        finally:
            path.unlink(missing_ok=True)


class Store:
    """Objects below an address such as s3://bucket/folder. One PUT is atomic, and creating is a conditional one.

    Credentials and endpoints are found as s3fs and gcsfs find them. What is no answer of the store's is an `OSError`.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        scheme, _, rest = url.partition("://")
        if scheme not in PACKAGES:
            known = ", ".join(f"{name}://" for name in PACKAGES if name != "memory")
            raise UserError(
                f"{url} is no storage that isoflop can lock: use {known} or a folder that all machines see."
            )
        if not rest.strip("/"):
            raise UserError(f"{url} names no bucket: write {scheme}://BUCKET/FOLDER.")
        try:
            import fsspec

            self._files, self.root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            raise UserError(f"{url} needs the package {PACKAGES[scheme]}: pip install {PACKAGES[scheme]}.") from error

    def __str__(self) -> str:
        return self.url

    def names(self, under: str = "") -> list[str]:
        """The objects there are, those in sub-folders too ("a/b"); below the folder `under`, if it is given."""
        with self._answered():
            try:
                found: list[str] = self._files.find(self._path(under).rstrip("/"))
            except FileNotFoundError:
                return []
            return sorted(path[len(self.root) + 1 :] for path in found)

    def read(self, name: str) -> bytes:
        with self._answered():
            content: bytes = self._files.cat_file(self._path(name))
            return content

    def write(self, name: str, data: bytes) -> None:
        with self._answered():
            self._files.pipe_file(self._path(name), data)

    def create(self, name: str, data: bytes) -> None:
        with self._answered():
            self._files.pipe_file(self._path(name), data, mode="create")

    def remove(self, name: str) -> None:
        with self._answered(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def download(self, name: str, path: Path) -> None:
        """Copy an object to a file, which is seen only when it is complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            with self._answered():
                self._files.get_file(self._path(name), str(temporary))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def upload(self, path: Path, name: str) -> None:
        """Copy a file to an object, which is seen only when it is complete."""
        with self._answered():
            self._files.put_file(str(path), self._path(name))

    @contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """An object, to be read in parts."""
        with self._answered(), self._files.open(self._path(name), "rb") as handle:
            yield handle

    def prepare(self) -> None:
        """Nothing: a store has no folders."""

    def leave(self) -> None:
        """Nothing."""

    def check(self) -> None:
        """Raise `UserError` where the store can't be used, or writes over an object that it was told not to."""
        probe = f".probe-{uuid.uuid4().hex}"
        try:
            self.create(probe, b"")
            try:
                self.create(probe, b"")
            except FileExistsError:
                return
            finally:
                self.remove(probe)
        except OSError as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{self.url} can't be used ({reason}): check its name and your credentials.") from error
        raise UserError(
            f"{self.url} writes over what it was told not to (If-None-Match), so that two studies could not be told "
            "apart: use another store, or a folder that all machines see."
        )

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    @contextmanager
    def _answered(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            raise
        except Exception as error:  # of botocore, gcsfs, aiohttp, google.auth
            if str(getattr(error, "code", "")) == "412":  # gcsfs: there is one already
                raise FileExistsError(str(error)) from error
            raise OSError(f"{type(error).__name__}: {error}") from error
