"""A study's files in an object store: driver and tasks work in folders of their own machine, which follow it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from isoflop.data import cache_folder
from isoflop.errors import UserError
from isoflop.executors import Executor, Mirror, Store, Task, TaskEvent, alone, is_url

TOKENS, RUNS = "tokens", "runs"
COMPLETE = "tokens.json"
"""The last file of a folder of tokens."""


class Home:
    """Where a study's files are: `folder` on this machine, which follows a store where `mirror` is one."""

    def __init__(self, folder: Path, mirror: Mirror | None = None) -> None:
        self.folder, self.mirror = folder, mirror

    def send(self) -> None:
        """Make what was written so far safe."""
        if self.mirror is not None:
            self.mirror.send()

    def executor(self, executor: Executor) -> Executor:
        """`executor`, with tasks that find and leave everything where all machines see it."""
        return executor if self.mirror is None else StoredExecutor(executor, self.mirror)


@contextmanager
def home_of(out: Path | str) -> Iterator[Home]:
    """The study in the folder or store `out`, alone. Raises what `alone` does."""
    if not is_url(out):
        folder = Path(out).resolve()
        with alone(folder, what="the study"):
            yield Home(folder)
        return
    Store(str(out))  # which refuses an address without a bucket
    url = str(out).rstrip("/")
    with alone(url, what="the study"), tempfile.TemporaryDirectory(prefix="isoflop-") as here:
        home = Home(Path(here), Mirror(Path(here), Store(url)))
        assert home.mirror is not None
        home.mirror.fetch(wanted=_is_of_the_driver)
        try:
            yield home
        except UserError as error:
            raise UserError(str(error).replace(here, url)) from error
        finally:
            home.send()


def _is_of_the_driver(name: str) -> bool:
    return not name.startswith(f"{TOKENS}/") and not name.rpartition("/")[2].startswith(".")


class StoredExecutor:
    """Gives `executor` tasks that work at the store of `mirror`, and brings each run here before it is told."""

    def __init__(self, executor: Executor, mirror: Mirror) -> None:
        self.inner, self.mirror, self.slots = executor, mirror, executor.slots
        self._sent: set[str] = set()

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.inner.__exit__(kind, error, trace)

    def run(self, tasks: Sequence[Task]) -> Iterator[TaskEvent]:
        """See `Executor.run`."""
        for event in self.inner.run([self._at_store(task) for task in tasks]):
            message = event.message
            if message is not None and message["kind"] == "run":
                place = message["folder"].removeprefix(f"{self.mirror.store}/")
                self.mirror.fetch(place)
                message = message | {"folder": str(self.mirror.folder / place)}
            yield TaskEvent(event.task, message)

    def _at_store(self, task: Task) -> Task:
        url, tokens = str(self.mirror.store), Path(task.spec["data"])
        if tokens.name not in self._sent:
            store = Store(f"{url}/{TOKENS}/{tokens.name}")
            if COMPLETE not in store.names():
                Mirror(tokens, store).send()
            self._sent.add(tokens.name)
        runs = f"{url}/{RUNS}"
        return replace(task, folder=runs, spec=task.spec | {"out": runs, "data": f"{url}/{TOKENS}/{tokens.name}"})


@contextmanager
def workplace(spec: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Home]]:
    """A folder of this machine for the trunk that `spec` describes, with what there is of it, and `spec` for there."""
    with tempfile.TemporaryDirectory(prefix="isoflop-") as here:
        mirror = Mirror(Path(here), Store(spec["out"]))
        mine = (f"{spec['trunk']}-D", f".{spec['trunk']}.")
        mirror.fetch(wanted=lambda name: name.startswith(mine))
        yield spec | {"out": here, "data": str(_tokens(spec["data"]))}, Home(Path(here), mirror)
        mirror.send()


def _tokens(url: str) -> Path:
    """The folder of tokens in this machine's cache, brought there by whoever needs it first."""
    folder = cache_folder() / url.rpartition("/")[2]
    if not (folder / COMPLETE).exists():
        mirror = Mirror(folder, Store(url))
        mirror.fetch(wanted=lambda name: name != COMPLETE)
        mirror.fetch(wanted=lambda name: name == COMPLETE)
    return folder
