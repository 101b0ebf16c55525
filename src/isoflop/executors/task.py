"""A piece of work that any process on any machine can do, and doing it by one process at a time."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from isoflop.errors import MachineError, UserError
from isoflop.executors.lease import FOREVER, hold
from isoflop.executors.place import place_of

Message = dict[str, Any]
"""What a task tells while it runs, as JSON holds it. `kind` says what it is; only "progress" may get lost."""
TELL_EVERY = 1.0
"""Seconds between words of progress from another machine."""


@dataclass(frozen=True)
class Task:
    """`call` ("package.module:generator") with `spec`, as JSON holds it, yields messages. `folder` lies on storage that
    all machines share, a file system or an object store. A task may be started again anywhere, so what it has done must
    be there."""

    name: str
    call: str
    spec: dict[str, Any]
    folder: str

    @property
    def lease(self) -> str:
        return f"{self.folder}/.{self.name}.lease"

    @property
    def progress(self) -> str:
        return f".{self.name}.progress.json"


@dataclass(frozen=True)
class Resources:
    """What each task gets. For SLURM also its memory and time, how many jobs run `at_once`, and in `sbatch` further
    options by their names there (partition, account, qos, …)."""

    cpus: int = 1
    gpus: int = 0
    memory_gb: float | None = None
    minutes: int = 24 * 60
    at_once: int = 64
    sbatch: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("cpus", "minutes", "at_once"):
            if getattr(self, name) < 1:
                raise UserError(f"machines.{name} must be at least 1, not {getattr(self, name)}.")
        if self.gpus < 0:
            raise UserError(f"machines.gpus must be at least 0, not {self.gpus}.")


@dataclass(frozen=True)
class TaskEvent:
    """A message of a task; None when it is done."""

    task: str
    message: Message | None


class Executor(AbstractContextManager[Any], Protocol):
    """Where tasks run. Leaving the `with` block ends what runs there."""

    @property
    def slots(self) -> int:
        """How many tasks run at a time."""
        ...

    def run(self, tasks: Sequence[Task]) -> Iterator[TaskEvent]:
        """Do `tasks`, begun in the order given, yielding what happens.

        Raises `UserError` for a user's mistake that a task found, `MachineError` where a machine failed for good.
        """
        ...


def perform(task: Task) -> Iterator[Message]:
    """Do `task` here; waits while another process does it, and then finds it done."""
    module, _, name = task.call.partition(":")
    call: Callable[[dict[str, Any]], Iterator[Message]] = getattr(importlib.import_module(module), name)
    with hold(task.lease, wait=FOREVER, remove=True) as lease:
        for message in call(task.spec):
            lease.check()
            yield message


def perform_afar(task: Task) -> list[Message]:
    """`perform`, where nobody listens: progress goes to the task's file, all other messages come back at the end."""
    told, messages, place = 0.0, [], place_of(task.folder)
    try:
        for message in perform(task):
            if message["kind"] != "progress":
                messages.append(message)
            elif time.monotonic() - told > TELL_EVERY:
                told = time.monotonic()
                place.write(task.progress, json.dumps(message).encode())
    except UserError as error:
        messages.append({"kind": "user_error", "message": str(error)})
    except MachineError as error:
        messages.append({"kind": "machine_error", "message": str(error)})
    place.remove(task.progress)
    return messages


def told(tasks: Sequence[Task]) -> Iterator[TaskEvent]:
    """The last words of progress of far tasks."""
    for task in tasks:
        try:
            message: Message = json.loads(place_of(task.folder).read(task.progress))
        except (OSError, ValueError):
            continue
        yield TaskEvent(task.name, message)


def checked(task: Task, message: Message) -> TaskEvent:
    """The event of a message; raises where it tells of an error."""
    if message["kind"] == "user_error":
        raise UserError(message["message"])
    if message["kind"] == "machine_error":
        raise MachineError(message["message"])
    if message["kind"] == "error":
        raise RuntimeError(f"{task.name} failed:\n{message['message']}")
    return TaskEvent(task.name, message)
