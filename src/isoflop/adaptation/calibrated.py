"""A fine-tuned classifier as it is and with one temperature, fitted on another table: are its odds honest then?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.adaptation.examination import described
from isoflop.adaptation.saved import read_record, write_temperature
from isoflop.adaptation.table import read_labelled
from isoflop.adaptation.tasks import task_named
from isoflop.adaptation.tasks.classify import TextClassifier, check_labels, load_classifier
from isoflop.errors import UserError
from isoflop.evaluation.calibration import Bin, fit_temperature, reliability, with_temperature
from isoflop.evaluation.classification import classification_measures
from isoflop.evaluation.evaluated import Evaluated, figures_of
from isoflop.evaluation.intervals import Resampling

MOVED = ("ECE", "nats")
"""The figures that a temperature changes; the likeliest label stays the same."""


@dataclass(frozen=True)
class Calibrated:
    """Figures as they are and with `temperature`, and the bins of reliability of both."""

    evaluated: Evaluated
    temperature: float
    before: tuple[Bin, ...]
    after: tuple[Bin, ...]


def evaluate_calibration(
    model: Path,
    table: Path,
    *,
    dev: Path,
    settings: Mapping[str, Any] | None = None,
    resampling: Resampling | None = None,
) -> Calibrated:
    """Fit a temperature on `dev`, and measure the classifier in the folder `model` on `table` without it and with it;
    one that is kept with it already is left out of both. `keep` makes the new one the classifier's.

    Raises `UserError` for a model of another task, and for a table that does not fit it.
    """
    folder, record = read_record(model)
    if record["task"] != "classify":
        raise UserError(f"--calibrate is for classifiers, and {model} does the task {record['task']}.")
    predictor, columns = replace(load_classifier(model), temperature=1.0), dict(settings or {})
    temperature = fit_temperature(*_told(predictor, dev, columns))
    found, answers = _told(predictor, table, columns)
    both = found, with_temperature(found, temperature)
    measures = [{name: one for name, one in classification_measures(p, answers).items() if name in MOVED} for p in both]
    resampling, facts = resampling or Resampling(), described(folder, "classify")
    evaluated = Evaluated(
        kind="calibration",
        models=(facts | {"name": "as it is"}, facts | {"name": f"T = {temperature:.3f}", "temperature": temperature}),
        data={"path": str(table.resolve()), "examples": len(answers), "dev": str(dev.resolve())},
        how={"settings": columns},
        figures=figures_of(measures, resampling),
        resampling=resampling,
    )
    return Calibrated(evaluated, temperature, reliability(both[0], answers), reliability(both[1], answers))


def keep(model: Path, found: Calibrated) -> Path:
    """Let the classifier in the folder `model` use its temperature from now on; returns the file that says so."""
    folder, _ = read_record(model)
    return write_temperature(folder, found.temperature, fitted_on=Path(found.evaluated.data["dev"]))


def _told(
    predictor: TextClassifier, table: Path, columns: dict[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities of a table's texts (N, K), and the numbers of their labels (N,)."""
    task: Any = task_named("classify", columns)
    part = read_labelled(table, text=task.text, label=task.label)
    check_labels(part, predictor.labels, None)
    number = {label: at for at, label in enumerate(predictor.labels)}
    return predictor.probabilities(part.texts), np.array([number[label] for label in part.labels])
