"""A fine-tuned model on a table that it was not trained with, alone or beside another model: figures with intervals."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isoflop.adaptation.saved import CLASSIFIER, TASK, load_adapted, read_record
from isoflop.adaptation.task import Measured
from isoflop.adaptation.tasks import task_named
from isoflop.errors import UserError
from isoflop.evaluation.evaluated import Evaluated, figures_of, measures_of
from isoflop.evaluation.intervals import Resampling
from isoflop.files import write_text


def is_adapted(folder: Path) -> bool:
    """Whether `folder` holds a model that was fine-tuned to a task."""
    return any((place / name).exists() for place in (folder, folder / "model") for name in (TASK, CLASSIFIER))


def evaluate_task(
    model: Path,
    table: Path,
    *,
    against: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resampling: Resampling | None = None,
) -> tuple[Evaluated, tuple[Measured, ...]]:
    """Measure the fine-tuned model in the folder `model` on `table`, and `against` on the same examples.

    `settings` are the task's (columns of the table). Also gives what was measured of each model: scores by label, rows
    of predictions. Raises `UserError` for models of two tasks, and for a table that does not fit them.
    """
    resampling = resampling or Resampling()
    folders = [model] if against is None else [model, against]
    records = [read_record(folder) for folder in folders]
    names = {record["task"] for _, record in records}
    if len(names) > 1:
        raise UserError(f"The models do different tasks ({' and '.join(sorted(names))}): they can't be compared.")
    task = task_named(names.pop(), dict(settings or {}))
    if not hasattr(task, "examine"):
        raise UserError(f"A saved model of the task {task.name} can't be measured on a table yet.")
    measured = tuple(task.examine(load_adapted(folder), table) for folder in folders)
    measures = [measures_of(one.scores) for one in measured]
    for one in measures[1:]:
        if one.keys() != measures[0].keys():
            raise UserError("The models have different figures (other labels): they can't be compared.")
    with table.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    found = Evaluated(
        kind=f"task {task.name}",
        models=tuple(described(folder, task.name) for folder, _ in records),
        data={"path": str(table.resolve()), "hash": digest, "examples": measured[0].scores.examples},
        how={"settings": dict(settings or {}), "main": measured[0].scores.main},
        figures=figures_of(measures, resampling),
        resampling=resampling,
    )
    return found, measured


def write_predictions(measured: Measured, path: Path) -> None:
    """Write a row for each example to the CSV file `path`, in the table's order."""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([measured.header, *measured.rows])
    write_text(path, table.getvalue())


def described(folder: Path, task: str) -> dict[str, Any]:
    """Which fine-tuned model it is, as a record holds it."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):  # the head, and an adapter with the body that it belongs to
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return {"path": str(folder.resolve()), "task": task, "weights_hash": digest.hexdigest()[:16]}
