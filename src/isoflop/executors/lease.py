"""A lock on shared storage with an owner and a heart-beat, which outlives neither its process nor its machine.

A lease is a folder of numbered files, `1`, `2`, …; whoever creates the highest holds it. Creating is exclusive (a hard
link to a finished file, atomic on POSIX file systems and on NFS), so of two that take over from a dead owner one
fails, and an owner that was only slow finds a higher number and stops. Nobody compares clocks: on the owner's machine
its process is looked up; elsewhere it is dead when its heart has not beaten for `DEAD_AFTER` seconds of the watcher's
own clock.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from isoflop.errors import MachineError, UserError

BEAT_EVERY = 3.0
DEAD_AFTER = 20.0
"""Seconds. A machine that stalls for longer than this loses its leases, and their next `check` says so."""
POLL = 0.2


@dataclass(frozen=True)
class Owner:
    """Who holds a lease: a process, where it runs, when it began, and how often its heart has beaten."""

    id: str
    host: str
    place: str
    pid: int
    began: str
    beat: int = 0
    released: bool = False

    @classmethod
    def myself(cls) -> Owner:
        """This process, as one owner of its own."""
        pid = os.getpid()
        return cls(uuid.uuid4().hex, socket.gethostname(), _place(), pid, _began(pid))

    def is_gone(self) -> bool:
        """Certainly dead: it ran on this machine, and no longer does."""
        return self.released or (self.place == _place() and _began(self.pid) != self.began)


class Held(Exception):
    """Somebody else holds the lease."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(f"held by process {owner.pid} on {owner.host}")
        self.owner = owner


class Lease:
    """A lease that this process holds; made by `hold`."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self._number, self._me = folder, number, Owner.myself()
        self._lost = False
        self._stop = threading.Event()
        _write(folder / str(number), self._me, fresh=True)
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def check(self) -> None:
        """Raises `MachineError` where another took the lease over: what this process does counts no more."""
        if self._lost:
            raise MachineError(f"{self.folder} was taken over while this process stood still, which therefore stops.")

    def release(self, *, remove: bool = False) -> None:
        """Give it back; with `remove`, its files too."""
        self._stop.set()
        self._heart.join()
        if self._lost:
            return
        own = self.folder / str(self._number)
        if not remove:
            _write(own, replace(self._me, released=True))
            return
        own.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody else may be about to take it
            self.folder.rmdir()

    def _beat(self) -> None:
        for older in range(self._number - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                (self.folder / str(older)).unlink()
        while not self._stop.wait(BEAT_EVERY):
            with contextlib.suppress(OSError):  # storage that is away for a moment: the next beat tries again
                if _highest(self.folder) > self._number:
                    self._lost = True
                    return
                self._me = replace(self._me, beat=self._me.beat + 1)
                _write(self.folder / str(self._number), self._me)


@contextmanager
def hold(folder: Path, *, wait: float = 0.0, remove: bool = False) -> Iterator[Lease]:
    """Hold the lease `folder`, waiting for at most `wait` seconds; `remove` leaves no trace of it.

    Raises `Held` where another process has it for longer. Whether an owner on another machine lives takes up to
    `DEAD_AFTER` to see, whatever `wait` is.
    """
    lease = _taken(folder, wait)
    try:
        yield lease
    finally:
        lease.release(remove=remove)


@contextmanager
def alone(folder: Path, *, what: str) -> Iterator[None]:
    """Hold `folder`, made where it is missing, for `what` ("the study"), on all machines that share its storage.

    Raises `UserError` where it can't be written or another process holds it. A folder in which nothing was written is
    taken away again.
    """
    try:
        with hold(folder / ".lock", remove=True):
            yield
    except Held as error:
        raise UserError(
            f"Another process runs {what} in {folder} ({error}): wait for it, or choose another --out."
        ) from error
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise UserError(
            f"The folder {folder} can't be written ({error.strerror}): choose another with --out."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # there is something in it
            folder.rmdir()


def _taken(folder: Path, wait: float) -> Lease:
    start = seen = time.monotonic()
    before: Owner | None = None
    lives = False
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        number, owner = _current(folder)
        now = time.monotonic()
        if owner is None or owner.is_gone() or (owner == before and now - seen > DEAD_AFTER):
            with contextlib.suppress(FileExistsError, FileNotFoundError):  # another was first, or removed the folder
                return Lease(folder, number + 1)
            continue
        if owner != before:
            lives = before is not None or owner.place == _place()
            before, seen = owner, now
        if lives and now - start >= wait:
            raise Held(owner)
        time.sleep(POLL)


def _current(folder: Path) -> tuple[int, Owner | None]:
    """The highest number there is, and its owner."""
    while number := _highest(folder):
        with contextlib.suppress(FileNotFoundError):  # given up, or taken over, in between
            return number, Owner(**json.loads((folder / str(number)).read_text(encoding="utf-8")))
    return 0, None


def _highest(folder: Path) -> int:
    try:
        return max((int(name) for name in os.listdir(folder) if name.isdigit()), default=0)
    except FileNotFoundError:
        return 0


def _write(path: Path, owner: Owner, *, fresh: bool = False) -> None:
    temporary = path.with_name(f"{owner.id}.tmp")
    temporary.write_text(json.dumps(asdict(owner)), encoding="utf-8")
    try:
        if fresh:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _place() -> str:
    """This machine since it was started, and the process numbers that can be seen from here."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _began(pid: int) -> str:
    """When process `pid` began, in the kernel's ticks (which tells a number that was used again); "" if it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return "" if fields[0] == "Z" else fields[19]
    except FileNotFoundError:
        return "" if Path("/proc/self/stat").exists() or not _answers(pid) else "unknown"


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


FOREVER = math.inf
"""A `wait` without end."""
