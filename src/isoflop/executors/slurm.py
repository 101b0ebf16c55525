"""Tasks as SLURM jobs, through submitit: so many in the queue at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from isoflop.errors import MachineError, UserError
from isoflop.executors.task import Message, Resources, Task, TaskEvent, checked, perform_afar, told

POLL = 1.0
RETRIES = 5
"""How often a task is submitted again whose job was lost."""


class SlurmExecutor:
    """A SLURM cluster, seen from a machine that has `sbatch`; `cluster` "local" runs the jobs here, for a try.

    `folder`, on shared storage, gets submitit's scripts and logs. Raises `UserError` where there is no SLURM.
    """

    def __init__(self, folder: Path, config: Resources, *, cluster: str = "slurm") -> None:
        submitit = _imported()
        try:
            self._submit = submitit.AutoExecutor(folder=folder, cluster=cluster)
        except RuntimeError as error:
            raise UserError(f"No SLURM here ({error}): run this where `sbatch` works.") from error
        self._submit.update_parameters(
            name="isoflop",
            timeout_min=config.minutes,
            cpus_per_task=config.cpus,
            gpus_per_node=config.gpus,
            slurm_setup=[f"export OMP_NUM_THREADS={config.cpus}"],
            slurm_additional_parameters=config.sbatch,
            **({} if config.memory_gb is None else {"mem_gb": config.memory_gb}),
        )
        self._jobs: dict[str, Any] = {}
        self.slots = config.at_once

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for job in self._jobs.values():
            job.cancel()

    def run(self, tasks: Sequence[Task]) -> Iterator[TaskEvent]:
        """See `Executor.run`; a task whose job is lost is submitted again, up to `RETRIES` times."""
        by_name = {task.name: task for task in tasks}
        lost = dict.fromkeys(by_name, 0)
        waiting = list(reversed(tasks))
        while waiting or self._jobs:
            while waiting and len(self._jobs) < self.slots:
                task = waiting.pop()
                self._jobs[task.name] = self._submit.submit(Afar(), task)
            done = [name for name, job in self._jobs.items() if job.done()]
            if not done:
                yield from told([by_name[name] for name in self._jobs])
                time.sleep(POLL)
            for name in done:
                task, messages = by_name[name], self._result(by_name[name], lost)
                if messages is not None:
                    yield from (checked(task, message) for message in messages)
                    yield TaskEvent(name, None)

    def _result(self, task: Task, lost: dict[str, int]) -> list[Message] | None:
        """What the job of a task brought; None where it was lost and submitted again."""
        import submitit

        job = self._jobs.pop(task.name)
        try:
            result: list[Message] = job.result()
        except submitit.core.utils.FailedJobError as error:
            raise RuntimeError(f"{task.name} failed:\n{error}") from error
        except submitit.core.utils.UncompletedJobError as error:
            lost[task.name] += 1
            if lost[task.name] > RETRIES:
                raise MachineError(
                    f"The job of {task.name} was lost {RETRIES + 1} times (last state {job.state}, log "
                    f"{job.paths.stderr}): run the same command again to go on from its last checkpoint."
                ) from error
            self._jobs[task.name] = self._submit.submit(Afar(), task)
            return None
        return result


class Afar:
    """`perform_afar` as submitit wants it: a job that is preempted or runs out of time is queued again as it is."""

    def __call__(self, task: Task) -> list[Message]:
        return perform_afar(task)

    def checkpoint(self, task: Task) -> Any:
        """Called by submitit at the signal; all that counts is on disk."""
        import submitit

        return submitit.helpers.DelayedSubmission(Afar(), task)


def _imported() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise UserError("--on slurm needs the package submitit: pip install 'isoflop[cluster]'.") from error
    return submitit
