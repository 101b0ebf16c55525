"""Start a verb in many processes on this machine, through torch's elastic launcher, and hear how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isoflop.errors import MachineError, UserError

OUTCOME = "ISOFLOP_OUTCOME"
"""Environment variable: the file in which the first process says how the verb ended, since an exit code would only
make the launcher start it again."""


def launch(arguments: list[str], *, processes: int, restarts: int) -> int:
    """Run `isoflop ARGUMENTS` in so many processes; returns the exit code that the verb chose.

    A process that dies is started again with all others, `restarts` times at most. Raises `UserError` with the
    processes' sentence, `KeyboardInterrupt` where they were stopped, `MachineError` where they failed for good.
    """
    with tempfile.TemporaryDirectory(prefix="isoflop-") as folder:
        outcome = Path(folder) / "outcome.json"
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        threads = str(max(1, (os.cpu_count() or 1) // processes))
        environment = {"OMP_NUM_THREADS": threads, **os.environ, OUTCOME: str(outcome)}
        command = [*launcher, f"--max-restarts={restarts}", "-m", "isoflop", *arguments]
        stopped, code = _wait(subprocess.Popen(command, env=environment))
        if outcome.exists():
            told: dict[str, Any] = json.loads(outcome.read_text(encoding="utf-8"))
            if told["error"]:
                raise UserError(told["error"])
            return int(told["code"])
        if stopped:
            raise KeyboardInterrupt
        raise MachineError(f"The {processes} processes failed (exit code {code}); run the same command to go on.")


def without(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """`arguments` without these options and their values: torch's launcher would take them for its own."""
    kept, skip = [], False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if not skip and name not in options:
            kept.append(argument)
        skip = not skip and name in options and not equals
    return kept


def _wait(process: subprocess.Popen[bytes]) -> tuple[bool, int]:
    """Wait for the launcher; a signal goes on to it and its processes, which save what they have first."""
    heard: list[int] = []

    def pass_on(number: int, _frame: Any) -> None:
        heard.append(number)
        process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return (code := process.wait()) is not None and bool(heard), code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_launched() -> bool:
    """Whether this process is one of several that torch's launcher started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def tell(code: int, error: str = "") -> bool:
    """Say how the verb ended, where `launch` listens; returns whether it does."""
    path = os.environ.get(OUTCOME)
    if path and os.environ.get("RANK") == "0":
        Path(path).write_text(json.dumps({"code": code, "error": error}), encoding="utf-8")
    return bool(path)
