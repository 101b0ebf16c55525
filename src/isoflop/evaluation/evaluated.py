"""What an evaluation came to: figures of one model or of two, with intervals and tests, as a value and as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from isoflop.evaluation.intervals import (
    Comparison,
    FigureOfMeans,
    Interval,
    Resampling,
    bootstrap_interval,
    mean,
    paired_test,
)
from isoflop.files import write_json

SCHEMA = 1
EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class Measure:
    """The examples' own `values`, (N,) or (N, K), and the `figure` that their means make.

    `unit` says what an example is. What is not `comparable` is shown for two models without a test: nats per token of
    two tokenizers. A measure without values (None) has a figure only, `given`.
    """

    values: ArrayLike | None
    figure: FigureOfMeans = mean
    unit: str = "examples"
    comparable: bool = True
    given: float | None = None

    def interval(self, resampling: Resampling) -> Interval:
        """The figure with its interval."""
        if self.values is None:
            assert self.given is not None
            return Interval(self.given, None, None)
        return bootstrap_interval(self.values, self.figure, resampling=resampling)


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
