"""A study of fine-tunings, read back from the files in its folder and from nowhere else."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoflop.errors import UserError
from isoflop.fitting import Estimate, Fit

AGAIN = "run `isoflop study` on it again to finish it"
FLOOR = "floor"
TEXTS = ("run", "trunk", "model", "method")


@dataclass(frozen=True)
class Cell:
    """One fine-tuning that was measured; `accuracy` is that of the part judged, as is the floor's beside it."""

    run: str
    model: str
    method: str
    seed: int
    labels: int
    params: int
    pretraining_flops: float | None
    accuracy: float
    nats: float
    floor: float | None
    seconds: float


@dataclass(frozen=True)
class Guess:
    """The accuracy that was predicted for the largest subset, and what the mean over seeds came to."""

    method: str
    model: str
    predicted: Estimate
    measured: float | None
    inside: bool | None

    @property
    def whiskers(self) -> tuple[float, float]:
        """How far the interval reaches below and above the value, which with few cells may lie at its very end."""
        found = self.predicted
        return max(0.0, found.value - found.low), max(0.0, found.high - found.value)


@dataclass(frozen=True)
class Law:
    """A law as it was fitted to one method (or to the floor), or why there is none."""

    method: str
    law: str
    target: str
    fit: Fit | None
    why_not: str


@dataclass(frozen=True)
class Answer:
    """What one point less error costs in labels, in words."""

    method: str
    model: str
    sentence: str


@dataclass(frozen=True)
class AdaptationStudy:
    """Everything that the page is made from."""

    folder: Path
    cells: tuple[Cell, ...]
    laws: tuple[Law, ...]
    guesses: tuple[Guess, ...]
    answers: tuple[Answer, ...]
    trade: Mapping[str, tuple[str, ...]]
    judged: str
    labels: int
    seconds: float
    written_at: str
    started_at: str
    not_predicted: tuple[str, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.method for cell in self.cells))

    @property
    def models(self) -> tuple[str, ...]:
        """Names, least pretrained first, then by size."""
        known = {cell.model: (cell.pretraining_flops or 0.0, cell.params, cell.model) for cell in self.cells}
        return tuple(sorted(known, key=lambda name: known[name]))

    @property
    def largest(self) -> tuple[Cell, ...]:
        """The cells at the largest number of labels."""
        return tuple(cell for cell in self.cells if cell.labels == self.labels)

    def curve(self, method: str) -> Fit | None:
        """The law of a method's error against labels."""
        return next(
            (one.fit for one in self.laws if (one.method, one.law, one.target) == (method, "curve", "error")), None
        )

    def floors(self) -> list[tuple[int, float]]:
        """Labels and accuracy of the floor on each subset, once."""
        known = {(cell.labels, cell.seed): cell.floor for cell in self.cells if cell.floor is not None}
        return [(labels, accuracy) for (labels, _), accuracy in sorted(known.items())]


def is_adaptation_study(folder: Path) -> bool:
    """Whether the study in `folder` is one of fine-tunings."""
    try:
        kind = json.loads((folder / "study.json").read_text(encoding="utf-8")).get("kind")
    except (OSError, ValueError, AttributeError):
        return False
    return bool(kind == "finetune")


def read_adaptation_study(folder: Path) -> AdaptationStudy:
    """Read the records. Raises `UserError` where one is missing or damaged."""
    verdict, fits = _json(folder / "verdict.json"), _json(folder / "fits.json")
    try:
        return AdaptationStudy(
            folder=folder,
            cells=tuple(_cell(row) for row in _rows(folder / "cells.csv")),
            laws=tuple(_law(one) for one in fits),
            guesses=tuple(_guess(one, verdict["level"]) for one in verdict["predicted"]),
            answers=tuple(Answer(one["method"], one["model"], one["sentence"]) for one in verdict["answers"]),
            trade={one["method"]: tuple(one["sentences"]) for one in verdict["trade"]},
            judged=verdict["judged"],
            labels=int(verdict["labels"]),
            seconds=float(verdict["seconds"]),
            written_at=verdict["prediction_written_at"],
            started_at=verdict["target_started_at"],
            not_predicted=tuple(verdict["not_predicted"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"The records in {folder} are damaged ({error!r}): delete verdict.json and {AGAIN}.") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path.parent} has no {path.name}, the study was interrupted before it: {AGAIN}.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not readable JSON ({error}): delete it and {AGAIN}.") from error


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}): {AGAIN}.") from error


def _cell(row: Mapping[str, str]) -> Cell:
    return Cell(
        run=row["run"],
        model=row["model"],
        method=row["method"],
        seed=int(row["seed"]),
        labels=int(row["finetuning_examples"]),
        params=int(row["params"]),
        pretraining_flops=_number(row["pretraining_flops"]),
        accuracy=1 - float(row["error"]),
        nats=float(row["loss"]),
        floor=None if row["floor_error"] == "" else 1 - float(row["floor_error"]),
        seconds=float(row["seconds"]),
    )


def _number(text: str) -> float | None:
    return float(text) if text and math.isfinite(float(text)) else None


def _law(record: Mapping[str, Any]) -> Law:
    fit = record["fit"]
    found = None if fit is None else Fit.from_json(json.dumps(fit))
    return Law(record["method"], record["law"], record["target"], found, record["why_not"])


def _guess(record: Mapping[str, Any], level: float) -> Guess:
    predicted = Estimate(1 - record["value"], 1 - record["high"], 1 - record["low"], level)
    measured = None if record["measured"] is None else 1 - float(record["measured"])
    return Guess(record["method"], record["model"], predicted, measured, record["inside"])
