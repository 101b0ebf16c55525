"""What a fine-tuning came to: figures of each part beside the floor's, as a value and as a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isoflop.adaptation.floor import Floor
from isoflop.errors import UserError
from isoflop.evaluation.classification import LabelScore, Scores
from isoflop.files import write_json

METRICS = "metrics.json"


@dataclass(frozen=True)
class Result:
    """Scores on what was held out (`dev`, `test`), the floor's on the same, and what the user should know."""

    scores: dict[str, Scores]
    floor: Floor | None
    data_hash: str
    seconds: float
    warnings: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Write `metrics.json` to `folder`."""
        write_json(folder / METRICS, asdict(self))


def read_result(folder: Path) -> Result:
    """Read `folder/metrics.json`. Raises `UserError` where it is damaged."""
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
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} can't be read ({error}): delete the folder and fine-tune again.") from error


def _scores(record: dict[str, Any]) -> dict[str, Scores]:
    return {
        name: Scores(
            **{
                **one,
                "labels": tuple(LabelScore(**label) for label in one["labels"]),
                "confusion": tuple(tuple(row) for row in one["confusion"]),
            }
        )
        for name, one in record.items()
    }
