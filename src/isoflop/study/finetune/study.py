"""A study of fine-tunings: subsets, smaller cells, laws, prediction, largest cells, verdict. Each leaves its file."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoflop.adaptation import Split
from isoflop.errors import UserError
from isoflop.executors import Executor, alone
from isoflop.files import write_json, write_text
from isoflop.runs import read_run
from isoflop.study.finetune.cells import COLUMNS, Cell, Pretraining, as_task, pretraining_of, read_table, row_of
from isoflop.study.finetune.config import FinetuneStudyConfig
from isoflop.study.finetune.laws import LEVEL, Fitted, answers, fit_curves, fit_joint, floor_rows, predictions, trade
from isoflop.study.finetune.subsets import sizes_of
from isoflop.study.study import Clock, executor_for, now, settle_settings

Row = dict[str, Any]


@dataclass(frozen=True)
class CellsBegin:
    """So many fine-tunings are to be made, of which an earlier sitting made some."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Moved:
    """A cell got on: `share` of its steps are done."""

    cell: str
    share: float


@dataclass(frozen=True)
class Measured:
    """A cell is measured: its row, None where the training diverged."""

    cell: Cell
    row: Row | None


@dataclass(frozen=True)
class Said:
    """One sentence about what was found or done."""

    text: str


Event = CellsBegin | Moved | Measured | Said
Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Design:
    """The study's cells: those that laws are fitted to, and those at the largest number of labels."""

    split: Split
    models: tuple[Pretraining, ...]
    sizes: tuple[int, ...]
    smaller: tuple[Cell, ...]
    largest: tuple[Cell, ...]


def design(config: FinetuneStudyConfig) -> Design:
    """Read table and models and lay out the cells, largest first. Raises `UserError` for a setting that can't be."""
    split = read_table(config.data)
    models = tuple(pretraining_of(Path(folder)) for folder in config.axes.models)
    names = [model.name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"axes.models has two folders called {twice!r}, and cells are called by them: rename one.")
    sizes = sizes_of(config.axes, split)
    cells = [
        Cell(model, method, size, config.seed + seed)
        for size in reversed(sizes)
        for model in models
        for method in config.axes.methods
        for seed in range(config.axes.seeds)
    ]
    smaller = tuple(cell for cell in cells if cell.labels < sizes[-1])
    return Design(split, models, sizes, smaller, tuple(cell for cell in cells if cell.labels == sizes[-1]))


def run_finetune_study(
    config: FinetuneStudyConfig, out: Path, *, listen: Listener, on: str = "local"
) -> dict[str, Any]:
    """Run the study `config` in the folder `out`, or go on with it; returns the verdict, which is also on disk.

    Leaves `runs/`, `cells.csv`, `prediction.json`, `fits.json`, `verdict.json` and `report.html` in `out`.
    Raises `UserError` where `out` holds a study with other settings or data, or is in use.
    """
    out = out.resolve()
    with alone(out, what="the study"):
        settings = settle_settings(config, out)
        clock, laid_out = Clock(out), design(config)
        _settle_data(laid_out, out)
        write_json(out / "study.json", settings)
        for warning in laid_out.split.warnings:
            listen(Said(warning))
        with executor_for(on, config.machines, out) as executor:
            return _Course(config, laid_out, out, listen).run(executor, clock)


def _settle_data(laid_out: Design, out: Path) -> None:
    """Write down what is fine-tuned on what; a later sitting must find the same."""
    models = {model.name: {"tokens": model.tokens, "flops": model.flops} for model in laid_out.models}
    plan = {"data_hash": laid_out.split.hash, "labels": list(laid_out.sizes), "models": models}
    path = out / "plan.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != plan:
        raise UserError(f"{out} holds a study of other texts or models: restore them, or choose another --out.")
    write_json(path, plan)


class _Course:
    """What the phases of one study share."""

    def __init__(self, config: FinetuneStudyConfig, laid_out: Design, out: Path, listen: Listener) -> None:
        self.config, self.design, self.out, self.listen = config, laid_out, out, listen

    def run(self, executor: Executor, clock: Clock) -> dict[str, Any]:
        rows = self._measure("smaller subsets", self.design.smaller, executor)
        clock.save()
        prediction = self._predict(rows)
        for text in predicted_sentences(prediction):
            self.listen(Said(text))
        largest = self._measure("the largest subset", self.design.largest, executor)
        clock.save()
        rows = sorted([*rows, *largest], key=_place)
        _write_cells(rows, self.out / "cells.csv")
        verdict = self._judge(prediction, rows, largest, seconds=clock.seconds())
        write_json(self.out / "verdict.json", verdict)
        from isoflop.report import write_report  # the processes that train, which import this package, need no plotly

        write_report(self.out)
        return verdict

    def _measure(self, name: str, cells: Sequence[Cell], executor: Executor) -> list[Row]:
        self.listen(CellsBegin(name, tuple(cells)))
        known, rows = {cell.name: cell for cell in cells}, []
        tasks = [as_task(cell, self.config, self.out) for cell in cells]
        for event in executor.run(tasks):
            message, cell = event.message or {}, known[event.task]
            if message.get("kind") == "progress":
                self.listen(Moved(cell.name, message["done"] / message["total"]))
            elif message.get("kind") == "measured":
                row = row_of(cell, Path(message["folder"]), judged=self.config.data.judged)
                rows += [row] if row is not None else []
                self.listen(Measured(cell, row))
        if not rows:
            raise UserError(f"In {self.out} every fine-tuning on {name} diverged: lower recipe.learning_rate.")
        return sorted(rows, key=_place)  # whatever ended first: the draws of a fit follow the order of its rows

    def _predict(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Fit the smaller subsets and write down what the largest will measure; a prediction once written stays."""
        path = self.out / "prediction.json"
        if path.exists():
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return content
        fits = self._curves(rows)
        labels = self.design.sizes[-1]
        prediction = {
            "labels": labels,
            "judged": self.config.data.judged,
            "level": LEVEL,
            "cells": predictions(fits, rows, labels=labels),
            "not_predicted": [f"{one.method}: {one.why_not}" for one in fits if one.fit is None],
            "written_at": now(),
        }
        write_json(path, prediction)
        return prediction

    def _curves(self, rows: Sequence[Row]) -> list[Fitted]:
        return fit_curves(rows, self.config.axes.methods, target="error", seed=self.config.seed)

    def _judge(
        self, prediction: dict[str, Any], rows: Sequence[Row], largest: Sequence[Row], *, seconds: float
    ) -> dict[str, Any]:
        """Predicted against measured, and the answers from laws fitted to every size."""
        methods, seed, labels = self.config.axes.methods, self.config.seed, self.design.sizes[-1]
        curves, joint = self._curves(rows), fit_joint(rows, methods, seed=seed)
        nats = fit_curves(rows, methods, target="loss", seed=seed)
        write_json(self.out / "fits.json", [one.to_dict() for one in (*curves, *nats, *joint)])
        cells = [_compared(guess, largest) for guess in prediction["cells"]]
        speeds = [model.flops_per_second for model in self.design.models if model.flops]
        starts = [read_run(self.out / "runs" / cell.name).started_at for cell in self.design.largest]
        exchange = trade(
            joint, rows, labels=labels, prices=self.config.prices, speed=max(filter(None, speeds), default=None)
        )
        return {
            **{key: prediction[key] for key in ("labels", "judged", "level", "not_predicted")},
            "predicted": cells,
            "inside": sum(bool(cell["inside"]) for cell in cells),
            "compared": sum(cell["measured"] is not None for cell in cells),
            "answers": answers(curves, rows, labels=labels),
            "trade": exchange,
            "seconds": seconds,
            "prediction_written_at": prediction["written_at"],
            "target_started_at": min(starts),
        }


def _place(row: Row) -> tuple[Any, ...]:
    return row["method"], row["model"], row["finetuning_examples"], row["seed"]


def _compared(guess: dict[str, Any], largest: Sequence[Row]) -> dict[str, Any]:
    """The prediction of one model and method beside the mean over seeds of what was measured."""
    mine = [
        row
        for row in (*largest, *_floor_of(largest))
        if (row["method"], row["model"]) == (guess["method"], guess["model"])
    ]
    errors = [row["error"] for row in mine]
    measured = math.fsum(errors) / len(errors) if errors else None
    inside = None if measured is None else guess["low"] <= measured <= guess["high"]
    return {**guess, "measured": measured, "measured_each": errors, "inside": inside}


def _floor_of(rows: Sequence[Row]) -> list[Row]:
    return [{**row, "method": "floor"} for row in floor_rows(rows)]


def _write_cells(rows: Sequence[Row], path: Path) -> None:
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, table.getvalue())


def predicted_sentences(prediction: dict[str, Any]) -> list[str]:
    """The prediction in words, a line for each model and method."""
    told = [
        f"{cell['method']}, {cell['model']}: predicted accuracy {1 - cell['value']:.3f} "
        f"[{1 - cell['high']:.3f}, {1 - cell['low']:.3f}] at {prediction['labels']:,} labels"
        for cell in prediction["cells"]
    ]
    return [*told, *prediction["not_predicted"]]
