"""What an evaluation came to: figures of one model or of two, with intervals and tests, as a value and as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isoflop.evaluation.intervals import Comparison, Interval, Resampling, paired_test
from isoflop.evaluation.measure import Measure
from isoflop.evaluation.scores import TaskScores
from isoflop.files import write_json

SCHEMA = 1
EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class Figure:
    """A figure of each model, over how many examples, and the paired test between the first two."""

    name: str
    examples: int | None
    unit: str
    of: tuple[Interval, ...]
    comparison: Comparison | None


@dataclass(frozen=True)
class Evaluated:
    """Figures in order; `models`, `data` and `how` say of what, on what, and by which conventions."""

    kind: str
    models: tuple[Mapping[str, Any], ...]
    data: Mapping[str, Any]
    how: Mapping[str, Any]
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    resampling: Resampling = field(default_factory=Resampling)

    def __getitem__(self, name: str) -> Figure:
        return next(figure for figure in self.figures if figure.name == name)

    def write(self, folder: Path) -> Path:
        """Write `evaluation.json` to `folder`; returns its path."""
        path = folder / EVALUATION
        write_json(path, {"schema": SCHEMA, **asdict(self)})
        return path


def figures_of(measures: Sequence[Mapping[str, Measure]], resampling: Resampling) -> tuple[Figure, ...]:
    """The figures of one model's measures, or of two models' beside each other, by name; both have the same names."""
    found = []
    for name, first in measures[0].items():
        of = tuple(one[name].interval(resampling) for one in measures)
        comparison = None
        if len(measures) > 1:
            second = measures[1][name]
            if first.comparable and first.values is not None and second.values is not None:
                comparison = paired_test(first.values, second.values, first.figure, resampling=resampling)
        examples = None if first.values is None else len(np.asarray(first.values))
        found.append(Figure(name, examples, first.unit, of, comparison))
    return tuple(found)


def intervals_of(scores: TaskScores, resampling: Resampling) -> dict[str, tuple[float, float]]:
    """The intervals of the figures of `scores`, where there are any."""
    measures = measures_of(scores)
    found = {name: measures[name].interval(resampling) for name in scores.figures}
    return {name: (one.low, one.high) for name, one in found.items() if one.low is not None and one.high is not None}


def measures_of(scores: TaskScores) -> dict[str, Measure]:
    """What a task's figures are made of: its own `measures`, else the mean of `values`, else the bare figure."""
    found = dict[str, Measure]()
    for name, figure in scores.figures.items():
        if name in scores.values:
            found[name] = Measure(np.asarray(scores.values[name]))
        else:
            found[name] = Measure(None, given=figure)
    return found | dict(scores.measures)
