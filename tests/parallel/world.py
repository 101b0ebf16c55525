"""Start a world of processes on this machine, once for many checks, and collect what they left."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def run_world(size: int, *arguments: object, script: str = "worker.py", timeout: float = 1800) -> list[str]:
    """Run a script (of this folder, or with its path) in `size` processes; returns what each printed.

    Fails where one of them does.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)]),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(TESTS / "parallel" / script), *map(str, arguments)]
    running = [
        subprocess.Popen(
            command,
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(size)
    ]
    try:
        printed = [process.communicate(timeout=timeout)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    wrong = [text for process, text in zip(running, printed, strict=True) if process.returncode]
    assert not wrong, "\n".join(text[-4000:] for text in wrong)
    return printed


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
