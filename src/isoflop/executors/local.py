"""Tasks side by side on this machine: so many processes, fed over pipes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
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
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._events: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.kill()
        for slot, process in self._processes.items():
            thread = self._threads.get(slot)
            if thread is not None and thread.ident is not None:  # Ctrl-C may have come before it was there, or started
                thread.join()
            with contextlib.suppress(BrokenPipeError), process:  # waits and closes the pipes
                pass

    def run(self, tasks: Sequence[Task]) -> Iterator[TaskEvent]:
        """See `Executor.run`; a worker that dies is a `MachineError`."""
        waiting = list(reversed(tasks))
        busy: dict[int, Task] = {}
        for slot in range(min(self.slots, len(tasks))):
            busy[slot] = self._give(slot, waiting.pop())
        while busy:
            slot, message = self._events.get()
            task = busy.get(slot)
            if task is None:
                continue
            if message["kind"] == "died":
                raise _died(task, message["code"])
            if message["kind"] != "done":
                yield checked(task, message)
                continue
            del busy[slot]
            if waiting:
                busy[slot] = self._give(slot, waiting.pop())
            yield TaskEvent(task.name, None)

    def _give(self, slot: int, task: Task) -> Task:
        process = self._processes.get(slot) or self._start(slot)
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(asdict(task)) + "\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise _died(task, process.wait()) from error
        return task

    def _start(self, slot: int) -> subprocess.Popen[str]:
        threads = str(self._cpus)
        gpus = {"CUDA_VISIBLE_DEVICES": self._gpus[slot]} if self._gpus else {}
        process = subprocess.Popen(
            [sys.executable, "-m", "isoflop.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads} | gpus,
            process_group=0,  # so that Ctrl-C reaches this process alone, which then ends the workers
        )
        self._processes[slot] = process
        self._threads[slot] = threading.Thread(target=self._listen, args=(slot, process), daemon=True)
        self._threads[slot].start()
        return process

    def _listen(self, slot: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._events.put((slot, json.loads(line)))
        self._events.put((slot, {"kind": "died", "code": process.wait()}))


def _visible_gpus() -> list[str]:
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]


def _died(task: Task, code: int) -> MachineError:
    return MachineError(
        f"The process that trained {task.name} ended with code {code} "
        "(killed, or out of memory?): run the same command again to go on from its last checkpoint."
    )
