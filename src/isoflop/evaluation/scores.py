"""What any task was measured to do: figures by name, the one that counts, and what each example added to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from isoflop.evaluation.classification import LabelScore
from isoflop.evaluation.measure import Measure


class TaskScores(Protocol):
    """Scores of one part of the data.

    `figures` are what is shown, in that order; `main` names the one that counts: it is told after every epoch, stops
    early and picks the best epoch. `worth` is that figure with the sign that makes more better. `nats` is the mean loss
    of an example (None where a task has none), with its standard error over examples. `values` are the examples' own
    shares of a figure, in the file's order, for those figures that are the mean of them.
    """

    @property
    def examples(self) -> int: ...

    @property
    def main(self) -> str: ...

    @property
    def figures(self) -> Mapping[str, float]: ...

    @property
    def worth(self) -> float: ...

    @property
    def nats(self) -> float | None: ...

    @property
    def nats_standard_error(self) -> float | None: ...

    @property
    def values(self) -> Mapping[str, Sequence[float]]: ...

    @property
    def measures(self) -> Mapping[str, Measure]:
        """The figures that are no means of `values`, such as F1, as functions of means of the examples' numbers."""
        ...

    @property
    def labels(self) -> tuple[LabelScore, ...]:
        """Precision, recall and F1 of each label, where the task has labels."""
        ...

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        """Who is taken for whom, in the order of `labels`, where an example has one label."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """All but the examples' own values, as plain values."""
        ...


@dataclass(frozen=True)
class Figures:
    """`TaskScores` of a task that brings its figures as they are."""

    examples: int
    main: str
    figures: Mapping[str, float]
    nats: float | None = None
    nats_standard_error: float | None = None
    labels: tuple[LabelScore, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    lower_is_better: bool = False
    values: Mapping[str, Sequence[float]] = field(default_factory=dict, compare=False, repr=False)
    measures: Mapping[str, Measure] = field(default_factory=dict, compare=False, repr=False)

    @property
    def worth(self) -> float:
        return -self.figures[self.main] if self.lower_is_better else self.figures[self.main]

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name not in ("values", "measures")}
