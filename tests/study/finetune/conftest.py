"""A small study of fine-tunings, done in this process: its numbers mean little, its files and its order do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from adaptation.conftest import pretrained, reviews, write_rows
from isoflop.executors import Task, TaskEvent, perform

STUDY = """
kind = "finetune"
[data]
train = "train.csv"
test = "test.csv"
[axes]
models = ["first", "second"]
methods = ["full"]
labels = [16, 32, 64, 96, 128]
seeds = 1
[recipe]
least_steps = 10
learning_rate = {{ full = {rate} }}
"""


class Here(AbstractContextManager["Here"]):
    """An executor that does tasks one by one in this process."""

    slots = 1

    def __exit__(self, *_: object) -> None:
        return None

    def run(self, tasks: Sequence[Task]) -> Iterator[TaskEvent]:
        """See `Executor.run`."""
        for task in tasks:
            yield from (TaskEvent(task.name, message) for message in perform(task))
            yield TaskEvent(task.name, None)


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory, study_text: Path) -> Path:
    """Tables, and two encoders of which one was pretrained twice as long."""
    folder = tmp_path_factory.mktemp("finetune-study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for name in ("first", "second"):
            (folder / f"of-{name}").mkdir()
            pretrained(folder / f"of-{name}", study_text, stack="encoder", objective="masked")
            (folder / f"of-{name}" / "run").rename(folder / name)
    write_rows(folder / "train.csv", reviews(160, 0))
    write_rows(folder / "test.csv", reviews(100, 1))
    return folder


@pytest.fixture
def write_study(study_folder: Path) -> Callable[..., Path]:
    """Writes the study's file: `write_study(rate=1e-2, replace=("seeds = 1", "seeds = 2"))`."""

    def write(*, rate: float = 1e-2, replace: tuple[str, str] = ("", "")) -> Path:
        path = study_folder / "study.toml"
        path.write_text(STUDY.format(rate=rate).replace(*replace) if replace[0] else STUDY.format(rate=rate))
        return path

    return write


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are done in this process, and fits make few draws."""

    def executor(*_: Any) -> Here:
        return Here()

    monkeypatch.setattr("isoflop.study.finetune.study.executor_for", executor)
    monkeypatch.setattr("isoflop.study.finetune.laws.DRAWS", 200)
