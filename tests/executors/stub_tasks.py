"""Tasks without training, for executors to be tried on: each leaves one record, and notes every time it was begun."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isoflop.errors import UserError
from isoflop.executors import Task

STEPS = 4


def tasks(count: int, folder: Path, *, seconds: float = 0.0, call: str = "measure") -> list[Task]:
    """`count` tasks that take `seconds` each."""
    folder.mkdir(exist_ok=True)
    return [
        Task(
            f"t{i}",
            f"executors.stub_tasks:{call}",
            {"name": f"t{i}", "out": str(folder), "seconds": seconds},
            str(folder),
        )
        for i in range(count)
    ]


def measure(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Take the time, tell progress, write the record unless it is there."""
    folder, name = Path(spec["out"]), spec["name"]
    with (folder / f"{name}.begun").open("a") as handle:
        handle.write(f"{os.getpid()}\n")
    record = folder / f"{name}.json"
    if not record.exists():
        for step in range(STEPS):
            time.sleep(spec["seconds"] / STEPS)
            yield {"kind": "progress", "done": step + 1}
        with record.open("x") as handle:  # a second writer would fail
            json.dump({"name": name, "pid": os.getpid()}, handle)
    yield {"kind": "record", "file": str(record)}


def mistake(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Find a mistake of the user's."""
    yield {"kind": "progress", "done": 0}
    raise UserError(f"{spec['name']} found the disk full.")


def dies_once(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """End its process as a kill would, the first time."""
    folder, name = Path(spec["out"]), spec["name"]
    first = not (folder / f"{name}.begun").exists()
    yield from measure(spec | {"seconds": 0.0}) if not first else _die(folder / f"{name}.begun")


def _die(note: Path) -> Iterator[dict[str, Any]]:
    note.write_text(f"{os.getpid()}\n")
    os._exit(9)
    yield {}


def under_way(folder: Path) -> list[int]:
    """Processes that began a task which has no record yet."""
    begun = [path for path in folder.glob("t*.begun") if not path.with_suffix(".json").exists()]
    return [int(path.read_text().split()[-1]) for path in begun if path.read_text().endswith("\n")]


def records(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("t*.json"))
