"""Writing files so that a reader, or a machine that lost its power, never sees half of one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from isoflop.errors import UserError

MISPLACED = (
    errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG,
)  # fmt: skip
"""Errors that say that a file can't stand where it was asked for: no permission, a file for a folder, no such name."""


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; on success fsync it and rename it to `path`, on failure remove it.

    Raises `UserError` where the disk is full or the folder can't be written; `path` then still has its old content.
    """
    if not path.name:
        raise UserError(f"{path} is a folder: name a file in it.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # what stands in the way of the file stands in the way of this one
            temporary.unlink()
        raise _as_user_error(error, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, atomically."""
    with atomic_write(path) as handle:
        handle.write(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, atomically; NaN and infinity are refused with `ValueError`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check_folder(folder: Path) -> None:
    """Make `folder`, before the work whose results go there. Raises `UserError` where it can't be written."""
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _as_user_error(error, folder) from error


def sync_folder(folder: Path) -> None:
    """Make sure that the names in `folder` outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _as_user_error(error: OSError, path: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"No space left to write {path}: free some, or choose another folder with --out; what was finished is kept."
        )
    if error.errno in MISPLACED:
        return UserError(f"Cannot write {path} ({error.strerror}): choose another place for it.")
    return error
