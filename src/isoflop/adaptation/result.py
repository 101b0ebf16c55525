"""What a fine-tuning came to: figures of each part beside the floor's, as a value and as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isoflop.adaptation.task import Floor
from isoflop.errors import UserError
from isoflop.evaluation.classification import LabelScore, Scores
from isoflop.evaluation.scores import Figures, TaskScores
from isoflop.files import write_json

METRICS = "metrics.json"


@dataclass(frozen=True)
class Result:
    """Scores on what was held out (`dev`, `test`), the floor's on the same, and what the user should know."""

    scores: dict[str, Any]
    """`TaskScores` of each part; a classifier's are `evaluation.classification.Scores`."""
    floor: Floor | None
    data_hash: str
    seconds: float
    warnings: tuple[str, ...]
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    """95 % intervals of each part's figures, by bootstrap over its examples, where there are any."""

    def write(self, folder: Path) -> None:
        """Write `metrics.json` to `folder`."""
        floor = self.floor and {"description": self.floor.description, "scores": _plain(self.floor.scores)}
        record = {"scores": _plain(self.scores), "floor": floor, "data_hash": self.data_hash, "seconds": self.seconds}
        write_json(folder / METRICS, {**record, "warnings": self.warnings, "intervals": self.intervals})


def read_result(folder: Path) -> Result:
    """Read `folder/metrics.json`; examples' own values are not in it. Raises `UserError` where it is damaged."""
    path = folder / METRICS
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        floor = record["floor"]
        return Result(
            scores=_scores(record["scores"]),
            floor=None if floor is None else Floor(floor["description"], _scores(floor["scores"])),
            data_hash=record["data_hash"],
            seconds=record["seconds"],
            warnings=tuple(record["warnings"]),
            intervals={
                part: {name: (low, high) for name, (low, high) in some.items()}
                for part, some in record.get("intervals", {}).items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} can't be read ({error}): delete the folder and fine-tune again.") from error


def _plain(scores: Mapping[str, TaskScores]) -> dict[str, Any]:
    return {name: one.to_dict() for name, one in scores.items()}


def _scores(record: dict[str, Any]) -> dict[str, TaskScores]:
    """A classifier's scores have its figures as fields, those of other tasks are in a field `figures`."""
    found: dict[str, TaskScores] = {}
    for name, one in record.items():
        made: Any = Figures if "figures" in one else Scores
        labels = tuple(LabelScore(**label) for label in one["labels"])
        found[name] = made(**{**one, "labels": labels, "confusion": tuple(map(tuple, one["confusion"]))})
    return found
