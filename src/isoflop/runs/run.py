"""`Run`: the record of one measured run, and its folder on disk (`run.json`, `curve.jsonl`)."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from isoflop.errors import UserError
from isoflop.files import write_json, write_text

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = 1
RunStatus = Literal["finished", "diverged"]
Role = Literal["rung", "target", "tune", "train", "finetune"]
"""`train` is a run of its own, from a plan, and `finetune` one that adapts a model; the others belong to a study."""


@dataclass(frozen=True)
class Run:
    """One training run that was measured, in the field's units.

    `params` is the N that the law is fitted on (`params_convention` says which of `param_counts` that is), `tokens`
    the training tokens, `flops` = 6 * params * tokens and `flops_exact` with attention, `loss` the validation loss in
    nats per token with its standard error over validation sequences (None where the run diverged).
    """

    run: str
    status: RunStatus
    role: Role
    trunk: str
    """Runs that share a trunk share its data order and weights: not independent of each other."""
    params: int
    params_convention: str
    param_counts: Mapping[str, int]
    tokens: int
    unique_tokens: int
    flops: float
    flops_exact: float
    loss: float | None
    loss_se: float | None
    train_loss: float | None
    tokens_per_byte: float
    shape: Mapping[str, Any]
    parametrization: str
    schedule: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    seed: int
    tokenizer_hash: str
    corpus_hash: str
    seconds: float
    tokens_per_second: float
    mfu: float | None
    hardware: Mapping[str, Any]
    versions: Mapping[str, str]
    config: Mapping[str, Any]
    started_at: str
    finished_at: str
    note: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    """Bad steps on the way, and what was done about each."""
    schema: int = field(default=SCHEMA)

    @property
    def bits_per_byte(self) -> float | None:
        """Loss in bits per byte of text: comparable between tokenizers."""
        return None if self.loss is None else self.loss / 0.6931471805599453 * self.tokens_per_byte


@dataclass(frozen=True)
class CurvePoint:
    """One line of `curve.jsonl`: the training loss (nats per token), learning rate and gradient norm at a step."""

    step: int
    tokens: int
    loss: float
    lr: float
    grad_norm: float
    seconds: float


def write_run(folder: Path, run: Run, curve: Iterable[CurvePoint]) -> None:
    """Write `curve.jsonl` and then `run.json` to `folder`; a folder with a `run.json` is therefore complete."""
    write_text(folder / "curve.jsonl", "".join(json.dumps(asdict(point)) + "\n" for point in curve))
    write_json(folder / "run.json", asdict(run))


def read_run(folder: Path) -> Run:
    """Read `folder/run.json`. Raises `UserError` where it is not a run record of a schema known here."""
    from pydantic import ValidationError

    path = folder / "run.json"
    try:
        text = path.read_bytes()
        record = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a readable run record ({error}): restore it or delete the folder.") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise UserError(f"{path} is not a run record of schema {SCHEMA}: it was written by another version of isoflop.")
    try:
        return _record_reader().validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg'].lower()}"
        raise UserError(f"{path} is damaged ({what}): delete the folder so that the run is made again.") from error


@functools.cache
def _record_reader() -> TypeAdapter[Run]:
    from pydantic import TypeAdapter

    return TypeAdapter(Run)


def read_curve(folder: Path) -> list[CurvePoint]:
    """Read `folder/curve.jsonl`, one point a line. Raises `UserError` on a damaged line."""
    path = folder / "curve.jsonl"
    points: list[CurvePoint] = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            points.append(CurvePoint(**json.loads(line)))
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}).") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}, line {len(points) + 1}: not a point of a curve ({error}).") from error
    return points
