"""TensorBoard event files as a table: one row for each step at which the loss was written."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import UserError
from isoflop.runs.names import list_some, name_columns
from isoflop.runs.tabular import RawTable, table_of_records

PATTERN = "events.out.tfevents.*"

Scalars = dict[str, dict[int, tuple[float, float]]]
"""Tag -> step -> (value, wall time in seconds)."""


def find_event_files(path: Path) -> list[Path]:
    """The event files at or below `path`, sorted."""
    if path.is_dir():
        return sorted(path.rglob(PATTERN))
    return [path] if path.match(PATTERN) else []


def read_events(path: Path, mapping: str | Mapping[str, str] | None) -> RawTable:
    """The event files at or below `path` as raw columns: run (the folder), step, seconds and each scalar by its tag.

    A row is a step at which the loss (named by `mapping`, or guessed) was written; another scalar has the value it was
    last given at that step or before. Tokens that were not logged come from the step, with `D=step*BATCH_TOKENS`.
    """
    files = find_event_files(path)
    runs: defaultdict[str, Scalars] = defaultdict(lambda: defaultdict(dict))
    for file in files:
        name = str(file.parent.relative_to(path)) if path.is_dir() else file.parent.name
        for tag, points in _scalars(file).items():
            runs[path.name if name == "." else name][tag].update(points)
    tags = list(dict.fromkeys(tag for scalars in runs.values() for tag in scalars))
    have = dict.fromkeys(["run", "step", "seconds", *tags], True)
    loss = name_columns(have, mapping, str(path)).columns.get("loss")
    if loss is None:
        raise UserError(
            f"{path} has no scalar for the loss (its {len(files)} event files have {list_some(tags) or 'none'}): "
            "name it with --map L=TAG."
        )
    records = [record for name, scalars in sorted(runs.items()) for record in _rows(name, scalars, loss[0])]
    without = [name for name, scalars in runs.items() if loss[0] not in scalars]
    notes = [f"Left out {len(without)} runs without {loss[0]}: {list_some(without, 4)}."] if without else []
    return table_of_records(records, str(path), notes)


def _rows(name: str, scalars: Scalars, loss: str) -> list[dict[str, Any]]:
    if loss not in scalars:
        return []
    steps = np.array(sorted(scalars[loss]))
    started = min(wall for points in scalars.values() for _, wall in points.values())
    columns = {tag: _last_known(points, steps) for tag, points in scalars.items()}
    return [
        {"run": name, "step": int(step), "seconds": scalars[loss][step][1] - started}
        | {tag: float(values[row]) for tag, values in columns.items()}
        for row, step in enumerate(steps.tolist())
    ]


def _last_known(points: Mapping[int, tuple[float, float]], steps: NDArray[np.int64]) -> NDArray[np.float64]:
    written = np.array(sorted(points))
    values = np.array([points[step][0] for step in written.tolist()])
    latest: NDArray[np.float64] = values[np.maximum(np.searchsorted(written, steps, side="right") - 1, 0)]
    return latest


def _scalars(file: Path) -> Scalars:
    loader, make_ndarray = _tensorboard()
    found: Scalars = defaultdict(dict)
    try:
        for event in loader(str(file)).Load():
            for value in event.summary.value if event.HasField("summary") else ():
                array = make_ndarray(value.tensor) if value.HasField("tensor") else np.empty(0)
                if array.size == 1 and array.dtype.kind in "fiu":
                    found[value.tag][int(event.step)] = (float(array.item()), float(event.wall_time))
    except Exception as error:  # the loader documents no errors of its own
        raise UserError(f"{file} can't be read as TensorBoard events ({error}).") from error
    return found


def _tensorboard() -> Sequence[Any]:
    try:
        loading = importlib.import_module("tensorboard.backend.event_processing.event_file_loader")
        tensors = importlib.import_module("tensorboard.util.tensor_util")
    except ImportError as error:
        raise UserError(
            "Reading TensorBoard event files needs the package tensorboard: install it with pip install tensorboard."
        ) from error
    return loading.EventFileLoader, tensors.make_ndarray
