"""Tasks side by side on this machine: so many processes, fed over pipes."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from isoflop.errors import MachineError
from isoflop.executors.task import Task, TaskEvent, checked


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalExecutor:
    """Worker processes, each started when it is first needed: `cpus` cores for a task, and `gpus` whole GPUs.

    A GPU is given to a worker by its number (CUDA_VISIBLE_DEVICES).
    """

    def __init__(self, *, slots: int | None = None, cpus: int = 1, gpus: int = 0) -> None:
        visible = _visible_gpus() if gpus else []
        places = len(visible) // gpus if gpus else max(1, cores() // cpus)
        if places < 1:
            raise MachineError(f"This machine has {len(visible)} GPUs, and a run was to have {gpus}.")
        self.slots = places if slots is None else slots
        self._cpus = cpus
        self._gpus = [",".join(visible[i * gpus : (i + 1) * gpus]) for i in range(places)] if gpus else []
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._unread: dict[int, bytes] = {}  # of each slot: what came after its last whole line
        self._outputs = selectors.DefaultSelector()  # without threads: Ctrl-C may come at any line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            with contextlib.suppress(BrokenPipeError), process:  # waits and closes the pipes
                pass
        self._outputs.close()

    def run(self, tasks: Sequence[Task]) -> Iterator[TaskEvent]:
        """See `Executor.run`; a worker that dies is a `MachineError`."""
        waiting = list(reversed(tasks))
        busy: dict[int, Task] = {}
        for i in range(min(self.slots, len(tasks))):
            busy[i] = self._give(i, waiting.pop())
        while busy:
            for key, _ in self._outputs.select():
                slot = int(key.data)
                for message in self._read(slot, busy[slot]):
                    if message["kind"] != "done":
                        yield checked(busy[slot], message)
                        continue
                    done = busy.pop(slot)
                    self._outputs.unregister(key.fileobj)
                    if waiting:
                        busy[slot] = self._give(slot, waiting.pop())
                    yield TaskEvent(done.name, None)

    def _give(self, slot: int, task: Task) -> Task:
        process = self._processes.get(slot) or self._start(slot)
        assert process.stdin is not None
        assert process.stdout is not None
        self._outputs.register(process.stdout, selectors.EVENT_READ, slot)
        try:
            process.stdin.write(json.dumps(asdict(task)).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise _died(task, process.wait()) from error
        return task

    def _start(self, slot: int) -> subprocess.Popen[bytes]:
        threads = str(self._cpus)
        gpus = {"CUDA_VISIBLE_DEVICES": self._gpus[slot]} if self._gpus else {}
        self._processes[slot] = subprocess.Popen(
            [sys.executable, "-m", "isoflop.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads} | gpus,
            process_group=0,  # so that Ctrl-C reaches this process alone, which then ends the workers
        )
        return self._processes[slot]

    def _read(self, slot: int, task: Task) -> list[dict[str, Any]]:
        """The messages that lie ready: one at least was sent, or the process has ended."""
        process = self._processes[slot]
        assert process.stdout is not None
        ready = os.read(process.stdout.fileno(), 1 << 16)
        if not ready:
            raise _died(task, process.wait())
        *lines, self._unread[slot] = (self._unread.get(slot, b"") + ready).split(b"\n")
        return [json.loads(line) for line in lines]


def _visible_gpus() -> list[str]:
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]


def _died(task: Task, code: int) -> MachineError:
    return MachineError(
        f"The process that trained {task.name} ended with code {code} "
        "(killed, or out of memory?): run the same command again to go on from its last checkpoint."
    )
