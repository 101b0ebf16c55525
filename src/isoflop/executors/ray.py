"""Tasks on a Ray cluster: Ray places them, and starts those again whose machine died."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from isoflop.errors import MachineError, UserError
from isoflop.executors.task import Task, TaskEvent, checked, perform_afar, told

POLL = 1.0
RETRIES = 5
"""How often a task is started again whose process or machine was lost."""


class RayExecutor:
    """A cluster that `ray start` made; each task gets `cpus` and `gpus` of it.

    `address` is "auto" on a machine of the cluster, or ray://HOST:PORT from elsewhere. Raises `UserError` where there
    is no cluster, or no Ray, or where this process has joined one already.
    """

    def __init__(self, address: str = "auto", *, cpus: float = 1, gpus: float = 0) -> None:
        self._ray = _imported()
        if self._ray.is_initialized():
            raise UserError("This process has joined a Ray cluster already: call ray.shutdown() first.")
        self._connect(address)
        have = self._ray.cluster_resources()
        self.slots = int(min(have.get(kind, 0.0) / wanted for kind, wanted in (("CPU", cpus), ("GPU", gpus)) if wanted))
        if self.slots < 1:
            self._ray.shutdown()
            raise UserError(f"The Ray cluster has {have}, and a run was to have {cpus} CPUs and {gpus} GPUs.")
        remote = self._ray.remote(perform_afar)
        self._task = remote.options(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES, retry_exceptions=False)

    def _connect(self, address: str, attempts: int = 3) -> None:
        """Join the cluster; one reached from elsewhere that answers, and whose server for us then dies, is asked again.

        Ray starts a process of its own for each ray:// client, from a process of many threads, and loses one at times.
        """
        try:
            self._ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            self._ray.shutdown()  # what a failed start leaves behind makes the next one fail
            if isinstance(error, ConnectionAbortedError) and attempts > 1:
                return self._connect(address, attempts - 1)
            raise UserError(
                f"No Ray cluster answers at {address} ({str(error).splitlines()[-1]}): start one with "
                "`ray start --head`, or give its address as ray://HOST:10001."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()

    def run(self, tasks: Sequence[Task]) -> Iterator[TaskEvent]:
        """See `Executor.run`; a task whose machine dies is started again elsewhere, up to `RETRIES` times."""
        under_way = {self._task.remote(task): task for task in tasks}
        try:
            while under_way:
                done, _ = self._ray.wait(list(under_way), num_returns=1, timeout=POLL)
                yield from told([] if done else list(under_way.values()))
                for one in done:
                    task = under_way.pop(one)
                    yield from (checked(task, message) for message in self._result(one, task))
                    yield TaskEvent(task.name, None)
        finally:
            for one in under_way:
                with contextlib.suppress(Exception):
                    self._ray.cancel(one, force=True)

    def _result(self, one: Any, task: Task) -> list[dict[str, Any]]:
        try:
            result: list[dict[str, Any]] = self._ray.get(one)
        except self._ray.exceptions.RayTaskError as error:
            raise RuntimeError(f"{task.name} failed:\n{error}") from error
        except self._ray.exceptions.RayError as error:
            raise MachineError(
                f"{task.name} was lost {RETRIES + 1} times ({str(error).splitlines()[0]}): "
                "run the same command again to go on from its last checkpoint."
            ) from error
        return result


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError("--on ray needs the package ray: pip install 'isoflop[cluster]'.") from error
    return ray
