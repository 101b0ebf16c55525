"""Start a verb in many processes on this machine, through torch's elastic launcher, and hear how it ended."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isoflop.cli.interruption import INTERRUPTED
from isoflop.errors import MachineError, UserError

OUTCOME = "ISOFLOP_OUTCOME"
"""Environment variable: the file in which the first process says how the verb ended, since an exit code would only
make the launcher start it again."""
HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""Signals that the launcher passes on to the processes, which save what they have first;"""
PATIENCE_SECONDS = 600
"""whoever then has not ended after this is killed."""


def launch(arguments: list[str], *, processes: int, restarts: int) -> int:
    """Run `isoflop ARGUMENTS` in so many processes; returns the exit code that the verb chose.

    A process that dies is started again with all others, `restarts` times at most. Raises `UserError` with the
    processes' sentence, `KeyboardInterrupt` where they were stopped, `MachineError` where they failed for good.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    with tempfile.TemporaryDirectory(prefix="isoflop-") as folder:
        outcome = Path(folder) / "outcome.json"
        failure: BaseException | None = None
        with _prepared(outcome, processes):
            try:
                config = _config(folder, processes=processes, restarts=restarts)
                elastic_launch(config, sys.executable)("-m", "isoflop", *arguments)
            except (SignalException, ChildFailedError) as error:
                failure = error
        if outcome.exists():
            told: dict[str, Any] = json.loads(outcome.read_text(encoding="utf-8"))
            if told["error"]:
                raise UserError(told["error"])
            return int(told["code"])
    if isinstance(failure, ChildFailedError) and not _interrupted(failure):
        code = next(iter(failure.failures.values())).exitcode
        raise MachineError(f"The {processes} processes failed (exit code {code}); run the same command to go on.")
    raise KeyboardInterrupt


@contextmanager
def _prepared(outcome: Path, processes: int) -> Iterator[None]:
    """Within it, the environment is that of the processes; afterwards it and what signals do are as before."""
    handlers = {number: signal.getsignal(number) for number in HEARD}
    before = dict(os.environ)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    os.environ[OUTCOME] = str(outcome)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _config(folder: str, *, processes: int, restarts: int) -> Any:
    """What `torchrun --standalone` would have, but for its messages about a signal and its patience after one."""
    import torch.distributed.launcher.api as launcher
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs

    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):  # each has a level of its own
            logging.getLogger(name).setLevel(logging.ERROR)
    patience: dict[str, Any] = {"shutdown_timeout": PATIENCE_SECONDS}
    if "shutdown_timeout" not in launcher.LaunchConfig.__dataclass_fields__:  # an older torch: half a minute
        patience = {}
    return launcher.LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=restarts,
        logs_specs=DefaultLogsSpecs(log_dir=folder),
        **patience,
    )


def _interrupted(failure: Any) -> bool:
    """Whether somebody stopped the processes themselves, as `kill` in another terminal does."""
    return all(one.exitcode == INTERRUPTED for one in failure.failures.values())


def without(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """`arguments` without these options and their values: torch's launcher would take them for its own."""
    kept, skip = [], False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if not skip and name not in options:
            kept.append(argument)
        skip = not skip and name in options and not equals
    return kept


def is_launched() -> bool:
    """Whether this process is one of several that torch's launcher started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def speaks() -> bool:
    """Whether what happens to this process is its own to tell, and not the first one's or the launcher's."""
    return OUTCOME not in os.environ and (not is_launched() or os.environ["RANK"] == "0")


def tell(code: int, error: str = "") -> bool:
    """Say how the verb ended, where `launch` listens; returns whether it does."""
    path = os.environ.get(OUTCOME)
    if path and os.environ.get("RANK") == "0":
        Path(path).write_text(json.dumps({"code": code, "error": error}), encoding="utf-8")
    return bool(path)
