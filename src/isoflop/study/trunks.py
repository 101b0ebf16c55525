"""Trunks as tasks: what an executor is given, and what it tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isoflop.executors import Executor, Task, is_url
from isoflop.runs import Run, read_run
from isoflop.study.stored import workplace
from isoflop.training import Progress, TrunkJob, train_trunk


@dataclass(frozen=True)
class TrunkEvent:
    """Something that happened to a trunk: it got on, a run of it was measured, or it is done (`what` is None)."""

    trunk: str
    what: Progress | Run | None


def train_trunks(executor: Executor, jobs: Sequence[TrunkJob]) -> Iterator[TrunkEvent]:
    """Train `jobs` on `executor`, costliest first as given, yielding what happens. Raises what `Executor.run` does."""
    for event in executor.run([as_task(job) for job in jobs]):
        message = dict(event.message or {})
        kind = message.pop("kind", None)
        if kind == "progress":
            yield TrunkEvent(event.task, Progress(**message))
        else:
            yield TrunkEvent(event.task, read_run(Path(message["folder"])) if kind == "run" else None)


def as_task(job: TrunkJob) -> Task:
    """The trunk as a piece of work that any process can do."""
    return Task(job.trunk, "isoflop.study.trunks:train", job.to_dict(), job.out)


def train(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Train the trunk that `spec` describes, telling progress and each run's folder, or its address in a store."""
    if not is_url(spec["out"]):
        yield from _train(spec)
        return
    with workplace(spec) as (here, home):
        for message in _train(here):
            home.send()
            if message["kind"] == "run":
                message["folder"] = message["folder"].replace(here["out"], spec["out"], 1)
            yield message


def _train(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for event in train_trunk(TrunkJob.from_dict(spec)):
        if isinstance(event, Progress):
            yield {"kind": "progress", **asdict(event)}
        else:
            yield {"kind": "run", "folder": f"{spec['out']}/{event.run}"}
