"""A study that is started, watched on disk and killed: what the tests of interrupts and of dying workers share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isoflop.runs import read_curve, read_run

PATIENCE = 900.0
"""Seconds. Far more than any of it takes, so that only a study that stands still runs into it, not a busy machine."""
DRIVER = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job, as CI may be, ignores Ctrl-C
import functools
from isoflop.study import jobs
jobs.TrunkJob = functools.partial(jobs.TrunkJob, checkpoint_seconds=0.05)
from isoflop.cli import main
main()
"""
"""`isoflop` with checkpoints so frequent that a kill is likely to fall between, before, after and into them."""


class Sitting:
    """One attempt at a study, in a process group of its own, as a terminal would start it."""

    def __init__(self, file: Path, out: Path, environment: dict[str, str]) -> None:
        self.out = out
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, "study", str(file), "--out", str(out)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_until(self, reached: Callable[[], Any]) -> bool:
        """Wait for `reached()`; False where the study ended first."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            if reached():
                return True
            assert time.monotonic() < deadline, "the study got nowhere"
            time.sleep(0.01)
        return False

    def workers(self) -> list[int]:
        """Process ids of the study's workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split() if _is_worker(int(pid))]

    def kill(self, number: signal.Signals) -> tuple[int, str]:
        """Send the signal (Ctrl-C goes to the whole group) and return exit code and stderr; no worker may survive."""
        workers = self.workers()
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        deadline = time.monotonic() + 120
        while alive := [pid for pid in workers if _is_alive(pid)]:
            assert time.monotonic() < deadline, f"workers {alive} outlived their study"
            time.sleep(0.02)
        return self.process.returncode, errors

    def finish(self) -> tuple[int, str]:
        """Wait for the end; returns exit code and stderr."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


def records(out: Path) -> list[Path]:
    """Every finished run's record."""
    return sorted(out.glob("runs/*/run.json"))


def checkpoints(out: Path) -> list[Path]:
    """Checkpoints of runs under way."""
    return sorted(out.glob("runs/.*.ckpt"))


def measured(out: Path) -> dict[str, tuple[float | None, list[tuple[float, ...]]]]:
    """Loss and curve, less the times, of every run."""
    return {
        path.parent.name: (
            read_run(path.parent).loss,
            [(p.step, p.tokens, p.loss, p.lr, p.grad_norm) for p in read_curve(path.parent)],
        )
        for path in records(out)
    }


def _is_worker(pid: int) -> bool:
    """Not one of the short-lived helpers that libraries start while they are imported."""
    try:
        return b"isoflop.executors.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
