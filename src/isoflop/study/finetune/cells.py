"""Cells of a study of fine-tunings: one model, one method, one subset, one seed; as tasks, and as rows of a table."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isoflop.adaptation import (
    Machine,
    Split,
    Stepped,
    finetune,
    read_result,
    read_split,
)
from isoflop.errors import UserError
from isoflop.executors import Task
from isoflop.runs import Run, read_run
from isoflop.study.config import FINETUNE
from isoflop.study.finetune.config import FinetuneStudyConfig, RecipeConfig, TableConfig
from isoflop.study.finetune.subsets import subset_of

COLUMNS = (
    "run", "trunk", "model", "method", "seed", "finetuning_examples", "finetuning_tokens", "params",
    "pretraining_tokens", "pretraining_flops", "dev_accuracy", "dev_nats", "test_accuracy", "test_nats", "error",
    "loss", "floor_error", "flops", "seconds",
)  # fmt: skip
"""Of `cells.csv`. `error` and `loss` (nats per label) are those of the part that laws are fitted to; an empty cell is
not known."""


@dataclass(frozen=True)
class Pretraining:
    """A model to be fine-tuned, and what its run record says of its pretraining (None where there is no record)."""

    name: str
    folder: str
    tokens: int | None = None
    flops: float | None = None
    flops_per_second: float | None = None


def pretraining_of(folder: Path) -> Pretraining:
    """Read what is known of the model in `folder`; its name is the folder's. Raises `UserError` where there is none."""
    if not folder.is_dir():
        raise UserError(f"axes.models names {folder}, and there is no such folder.")
    run_folder = folder.parent if folder.name == "model" else folder
    if not (run_folder / "run.json").exists():
        return Pretraining(run_folder.name, str(folder))
    run = read_run(run_folder)
    if run.role == FINETUNE:  # that record is not of its pretraining
        return Pretraining(run_folder.name, str(folder))
    speed = run.flops / run.seconds if run.seconds else None
    return Pretraining(run_folder.name, str(folder), run.tokens, run.flops, speed)


@dataclass(frozen=True)
class Cell:
    """One fine-tuning, on `labels` texts in the order of `seed`."""

    model: Pretraining
    method: str
    labels: int
    seed: int

    @property
    def trunk(self) -> str:
        """Cells whose subsets lie one in the other."""
        return f"{self.model.name}-{self.method}-s{self.seed}"

    @property
    def name(self) -> str:
        return f"{self.model.name}-{self.method}-n{self.labels}-s{self.seed}"


def read_table(data: TableConfig) -> Split:
    """The whole table. Raises `UserError` for whatever is wrong in it."""
    parts = {name: Path(given) for name in ("dev", "test") if (given := getattr(data, name))}
    return read_split(Path(data.train), **parts, text=data.text, label=data.label)


def as_task(cell: Cell, config: FinetuneStudyConfig, out: Path) -> Task:
    """The cell as a piece of work that any process can do."""
    recipe = config.recipe
    spec = {
        "cell": asdict(cell),
        "data": asdict(config.data),
        "recipe": asdict(recipe),
        "machine": asdict(config.machine),
        "out": str(out / "runs" / cell.name),
    }
    return Task(cell.name, "isoflop.study.finetune.cells:run_cell", spec, str(out / "runs"))


def run_cell(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Fine-tune the cell that `spec` describes, telling progress, and at last that it is measured.

    The trained weights are not kept: a study has many cells, and its results are the records.
    """
    cell, data, out = spec["cell"], spec["data"], Path(spec["out"])
    if not (out / "run.json").exists():
        split = subset_of(read_table(TableConfig(**data)), size=cell["labels"], seed=cell["seed"])
        recipe = RecipeConfig(**spec["recipe"]).recipe(cell["method"], labels=cell["labels"], seed=cell["seed"])
        model = Path(cell["model"]["folder"])
        for event in finetune(model, split, out=out, recipe=recipe, machine=Machine(**spec["machine"])):
            if isinstance(event, Stepped):
                yield {"kind": "progress", "done": event.step, "total": event.steps}
    shutil.rmtree(out / "model", ignore_errors=True)
    yield {"kind": "measured", "folder": str(out)}


def row_of(cell: Cell, folder: Path, *, judged: str) -> dict[str, Any] | None:
    """The cell's row of `cells.csv`, from the records in `folder`; None where the training diverged."""
    run = read_run(folder)
    if run.status == "diverged":
        return None
    result = read_result(folder)
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    for part, scores in result.scores.items():
        row |= {f"{part}_accuracy": scores.figures["accuracy"], f"{part}_nats": scores.nats}
    floor = None if result.floor is None else 1 - result.floor.scores[judged].figures["accuracy"]
    return (
        row
        | _of_the_run(cell, run)
        | {
            "error": 1 - result.scores[judged].figures["accuracy"],
            "loss": result.scores[judged].nats,
            "floor_error": floor,
        }
    )


def _of_the_run(cell: Cell, run: Run) -> dict[str, Any]:
    return {
        "run": cell.name,
        "trunk": cell.trunk,
        "model": cell.model.name,
        "method": cell.method,
        "seed": cell.seed,
        "finetuning_examples": cell.labels,
        "finetuning_tokens": run.unique_tokens,
        "params": run.params,
        "pretraining_tokens": cell.model.tokens,
        "pretraining_flops": cell.model.flops,
        "flops": run.flops,
        "seconds": run.seconds,
    }
