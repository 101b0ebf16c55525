"""What a task is to the engine (docs/decisions/0009), and how to write one.

1. In `tasks/NAME.py` write a frozen dataclass with the fields that a user may set (`--option FIELD=VALUE`) and the
   methods of `Task` below; put its name and class into the table `TASKS` of `tasks/__init__.py`. That is all.
2. `read` makes a `Split` by `split.make_split`: a part has `texts` (inputs: a string, or a tuple of them) and `labels`
   (answers likewise), so that the hash, leaks, folds and subsets (`with_parts`, `LabelledTexts.take`) work.
3. `trial` gives a `Trial`. Its model is a `TaskModel`: `body` is the pretrained model, which methods change; it has
   either `features` and a linear `head` (cross-entropy with the batch's targets) or its own `loss(batch)`.
4. `Trial.save` calls `saved.save_adapted` with a record that has the task's name and all that `load`, which gets the
   record back, needs to make a `Predictor`, which `isoflop predict-text` asks.
5. `examine` scores a saved model on another table, for `isoflop evaluate`.
6. `Measured.scores` is `evaluation.scores.Figures`; give `values` for the figures that are means over examples: they go
   into predictions-PART.csv, and intervals and paired tests are made of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from isoflop.adaptation.dataset import is_dataset, parts_of
from isoflop.adaptation.task_model import EpochBatches, TaskModel
from isoflop.evaluation.scores import TaskScores

if TYPE_CHECKING:
    from isoflop.adaptation.pretrained import Pretrained
    from isoflop.adaptation.recipe import Recipe
    from isoflop.adaptation.split import Split


@dataclass(frozen=True)
class Files:
    """The user's files: what is trained on, and what is measured on after every epoch (`dev`) and at the end."""

    train: Path
    dev: Path | None = None
    test: Path | None = None

    @classmethod
    def of(cls, train: Path, dev: Path | None, test: Path | None) -> Files:
        """The files as they were named; a data set (`datasets:NAME`) brings dev and test where none is named."""
        if not is_dataset(train) or dev or test:
            return cls(train, dev, test)
        return cls(**parts_of(train))

    @property
    def held_out(self) -> dict[str, Path]:
        """What is measured on, by name."""
        return {name: path for name, path in (("dev", self.dev), ("test", self.test)) if path is not None}

    @property
    def named(self) -> dict[str, Path]:
        """All of them."""
        return {"train": self.train, **self.held_out}


@dataclass(frozen=True)
class Floor:
    """What the simplest thing that could work is, and how it scores on each part that is measured."""

    description: str
    scores: Mapping[str, TaskScores]


@dataclass(frozen=True)
class Measured:
    """Scores of a part, and its predictions as a table with a row for each example, in the file's order."""

    scores: TaskScores
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


class Trial(Protocol):
    """A pretrained model and examples, ready to be trained on a task and measured.

    `facts` are plain values that, with recipe and data, decide the result; an interrupted trial goes on only with the
    same. `about` are lines of the card. `epoch_tokens` counts what an epoch reads.
    """

    @property
    def model(self) -> TaskModel: ...

    @property
    def batches(self) -> EpochBatches: ...

    @property
    def epoch_tokens(self) -> int: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def facts(self) -> Mapping[str, Any]: ...

    @property
    def about(self) -> tuple[str, ...]: ...

    def measure(self, part: str, *, is_last: bool) -> Measured:
        """Score a held-out part with the model as it is now. At the end (`is_last`) dev comes before test, so that what
        is chosen on dev, a threshold, holds for test; after an epoch a costly part of it may be left out."""
        ...

    def floor(self) -> Floor | None:
        """The floor on every held-out part; None where it can't be fitted (`floor.MISSING` is then said)."""
        ...

    def save(self, folder: Path) -> None:
        """Write the trained model, which is on the CPU by then, to `folder`, which has its card."""
        ...


class Predictor(Protocol):
    """A saved model that does its task. `inputs` names the texts that one example consists of."""

    @property
    def inputs(self) -> tuple[str, ...]: ...

    def rows(self, examples: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """What `isoflop predict-text` prints of each example: cells of a line. Raises `UserError` for an empty text."""
        ...


class Task(Protocol):
    """What `--task` names. `purpose` goes into the card's title, `unit` is what the loss is the mean of; `stacks` are
    the kinds of models that can do it."""

    @property
    def name(self) -> str: ...

    @property
    def purpose(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def stacks(self) -> Sequence[str]: ...

    def read(self, files: Files) -> Split:
        """The examples. Raises `UserError` with file and line for a mistake in them."""
        ...

    def trial(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> Trial:
        """What the engine trains."""
        ...

    def examine(self, predictor: Any, table: Path) -> Measured:
        """Score a saved model, which `load` gave, on a table with this task's columns. Raises `UserError`, with its
        place, for a label that the model does not know."""
        ...

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Predictor:
        """The model in `folder`, of which `Trial.save` wrote `record`."""
        ...
