"""A training that hangs says so and ends: a heart-beat on disk, a limit on every activity, the stacks of all threads.

A process that ends is started again by torch's launcher with all others; one that hangs in a collective, because
another was stopped or has lost its network, would wait in silence.
"""

from __future__ import annotations

import faulthandler
import json
import math
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO, final

import torch
import torch.distributed as dist

from isoflop.errors import UserError

Activity = Literal["step", "validation", "checkpoint", "start"]

LEAST_SECONDS = 120.0
"""No activity is taken for hung before this (`stall_seconds` in the plan's `[machine]`),"""
TIMES_SLOWEST = 10.0
"""nor before so many times the slowest of its kind so far;"""
TIMES_FIRST = 10.0
"""the first of its kind, which may compile, nor before so many times the least."""
BEAT_SECONDS = 1.0
LOOKS = 20
"""How often a limit is looked at while it runs."""
GRACE_SECONDS = 30.0
"""So much after the limit, the process is ended even where no Python can run (a library that holds the lock)."""
STALLED = 75
"""The exit code: a failure that may pass (EX_TEMPFAIL), so that the launcher starts the processes again."""


class Unwatched:
    """Nobody watches: what a training has that is called from Python, whose caller may pause as long as it likes."""

    def doing(self, activity: Activity, step: int) -> None:
        """The activity before has ended, and this one begins."""


@final
class Watchdog(Unwatched):
    """Within the `with` block, ends the process with `STALLED` where an activity takes longer than its limit.

    Keeps the heart-beat `beat-RANK.json` (step, time) in `folder`; a process that is ended leaves
    `stacks-RANK-PID.txt` there and, with NCCL, what torch's flight recorder has, `flights-RANK-PID.pickle`.
    Reading the text and joining the others, before the first step, have no limit here.
    """

    def __init__(self, folder: Path, *, least_seconds: float = LEAST_SECONDS, rank: int = 0) -> None:
        if least_seconds <= 0:
            raise UserError(f"machine.stall_seconds must be above 0, not {least_seconds}.")
        self.folder, self.least, self.rank = folder, least_seconds, rank
        self.stacks, self.beat = folder / f"stacks-{rank}-{os.getpid()}.txt", folder / f"beat-{rank}.json"
        self.slowest: dict[Activity, float] = {}
        self.activity: Activity = "start"
        self.step, self.since = 0, time.monotonic()
        self.beaten_at = -math.inf
        self._stacks: TextIO | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self.since = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()
        if self._stacks is None:
            return
        self._stacks.close()
        for path in (self.stacks, self.beat):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # another process has its files there, or an ended one left its stacks
            self.folder.rmdir()

    def doing(self, activity: Activity, step: int) -> None:
        """The activity before has ended, and this one begins."""
        if self._stacks is None:  # only now is it sure that the folder may be written to
            self.folder.mkdir(parents=True, exist_ok=True)
            self._stacks = self.stacks.open("w", encoding="utf-8")
        now = time.monotonic()
        took = now - self.since
        self.slowest[self.activity] = max(took, self.slowest.get(self.activity, 0.0))
        self.activity, self.step, self.since = activity, step, now
        if now - self.beaten_at >= BEAT_SECONDS:
            self.beaten_at = now
            self.beat.write_text(json.dumps({"step": step, "time": time.time()}) + "\n", encoding="utf-8")
            faulthandler.dump_traceback_later(self.limit + GRACE_SECONDS, exit=True, file=self._stacks)

    @property
    def limit(self) -> float:
        """Seconds that the activity under way may take."""
        if self.activity == "start":
            return math.inf
        slowest = self.slowest.get(self.activity)
        return max(self.least, TIMES_SLOWEST * slowest) if slowest is not None else TIMES_FIRST * self.least

    def _watch(self) -> None:
        while not self._ended.wait(self.least / LOOKS):
            if time.monotonic() - self.since > self.limit:
                self._end()

    def _end(self) -> None:
        assert self._stacks is not None  # the start has no limit
        faulthandler.dump_traceback(self._stacks, all_threads=True)
        self._stacks.flush()
        self._dump_flights()
        print(
            f"isoflop: process {self.rank} hangs: no end of the {self.activity} after {self.step} steps in "
            f"{self.limit:.0f} s; it ends itself, and {self.stacks} says where it was.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(STALLED)

    def _dump_flights(self) -> None:
        """What the collectives of NCCL did last, for torch's own reader of it (`torchfrtrace`)."""
        if dist.is_initialized() and torch.cuda.is_available() and dist.is_nccl_available():
            trace = torch._C._distributed_c10d._dump_nccl_trace()  # type: ignore[attr-defined]
            (self.folder / f"flights-{self.rank}-{os.getpid()}.pickle").write_bytes(trace)


def record_flights() -> None:
    """Let NCCL remember its last collectives; to be called before processes join."""
    os.environ.setdefault("TORCH_FR_BUFFER_SIZE", "2000")
