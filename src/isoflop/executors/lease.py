"""A lock on shared storage with an owner and a heart-beat, which outlives neither its process nor its machine.

A lease is a folder of numbered files, `1`, `2`, …; whoever creates the highest holds it. Creating is exclusive (a hard
link to a finished file, atomic on POSIX file systems and on NFS; a conditional write in an object store), so of two
that take over from a dead owner one fails, and an owner that was only slow finds a higher number and stops. Nobody
compares clocks: on the owner's machine its process is looked up; elsewhere it is dead when its heart has not beaten for
`DEAD_AFTER` seconds of the watcher's own clock.
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
from isoflop.executors.place import Place, Store, is_url, place_of

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

    def as_bytes(self) -> bytes:
        """What its file holds."""
        return json.dumps(asdict(self)).encode()

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

    def __init__(self, place: Place, number: int) -> None:
        self.place, self._number, self._me = place, number, Owner.myself()
        self._lost = False
        self._stop = threading.Event()
        place.create(str(number), self._me.as_bytes())
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def check(self) -> None:
        """Raises `MachineError` where another took the lease over: what this process does counts no more."""
        if self._lost:
            raise MachineError(f"{self.place} was taken over while this process stood still, which therefore stops.")

    def release(self, *, remove: bool = False) -> None:
        """Give it back; with `remove`, its files too."""
        self._stop.set()
        self._heart.join()
        if self._lost:
            return
        if not remove:
            self.place.write(str(self._number), replace(self._me, released=True).as_bytes())
            return
        self.place.remove(str(self._number))
        self.place.leave()

    def _beat(self) -> None:
        with contextlib.suppress(OSError):  # of no use any more, and in nobody's way
            for older in range(self._number - 1, 0, -1):
                self.place.remove(str(older))
        while not self._stop.wait(BEAT_EVERY):
            with contextlib.suppress(OSError):  # storage that is away for a moment: the next beat tries again
                if _highest(self.place) > self._number:
                    self._lost = True
                    return
                self._me = replace(self._me, beat=self._me.beat + 1)
                self.place.write(str(self._number), self._me.as_bytes())


@contextmanager
def hold(folder: Path | str, *, wait: float = 0.0, remove: bool = False) -> Iterator[Lease]:
    """Hold the lease `folder` (or an address in an object store), waiting `wait` seconds at most; `remove` leaves no
    trace of it.

    Raises `Held` where another process has it for longer. Whether an owner on another machine lives takes up to
    `DEAD_AFTER` to see, whatever `wait` is.
    """
    lease = _taken(place_of(folder), wait)
    try:
        yield lease
    finally:
        lease.release(remove=remove)


@contextmanager
def alone(folder: Path | str, *, what: str) -> Iterator[None]:
    """Hold `folder`, made where it is missing, for `what` ("the study"), on all machines that share its storage.

    Raises `UserError` where it can't be written or another process holds it. A folder that was made here and in which
    nothing was written is taken away again.
    """
    was_there = not is_url(folder) and Path(folder).exists()
    if is_url(folder):
        Store(str(folder)).check()
    try:
        with hold(f"{folder}/.lock", remove=True):
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
        if not was_there:
            place_of(folder).leave()


def _taken(place: Place, wait: float) -> Lease:
    start = seen = time.monotonic()
    before: Owner | None = None
    lives = False
    while True:
        place.prepare()
        number, owner = _current(place)
        now = time.monotonic()
        if owner is None or owner.is_gone() or (owner == before and now - seen > DEAD_AFTER):
            with contextlib.suppress(FileExistsError, FileNotFoundError):  # another was first, or removed the folder
                return Lease(place, number + 1)
            continue
        if owner != before:
            lives = before is not None or owner.place == _place()
            before, seen = owner, now
        if lives and now - start >= wait:
            raise Held(owner)
        time.sleep(POLL)


def _current(place: Place) -> tuple[int, Owner | None]:
    """The highest number there is, and its owner."""
    while number := _highest(place):
        with contextlib.suppress(FileNotFoundError):  # given up, or taken over, in between
            return number, Owner(**json.loads(place.read(str(number))))
    return 0, None


def _highest(place: Place) -> int:
    return max((int(name) for name in place.names() if name.isdigit()), default=0)


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
