"""From a trained model to its record: what was run, where, and what came out."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from isoflop.data import TokenData
from isoflop.data.mixture import PartUse
from isoflop.evaluation import ValidationLoss
from isoflop.runs import CurvePoint, Run
from isoflop.runs.run import RunStatus
from isoflop.shapes import ModelShape, count_params, matmul_params, train_flops_per_token
from isoflop.training.trainee import Trainee
from isoflop.version import __version__

PARAMS_CONVENTION = "matmul: body matrices and head, without the input embedding"


@dataclass(frozen=True)
class RecordFacts:
    """What all runs of one trunk have in common: the resolved job, shape, data and start time."""

    job: dict[str, Any]
    shape: ModelShape
    data: TokenData
    started_at: str


def finished_run(
    facts: RecordFacts, *, name: str, steps: int, trainee: Trainee, measured: ValidationLoss, note: str = ""
) -> Run:
    """The record of a run of `steps` that was measured."""
    return _run(facts, name=name, steps=steps, trainee=trainee, outcome=("finished", measured, note))


def diverged_run(facts: RecordFacts, *, name: str, steps: int, trainee: Trainee, reason: str) -> Run:
    """The record of a run that was to take `steps` but diverged; `reason` says how."""
    return _run(facts, name=name, steps=steps, trainee=trainee, outcome=("diverged", None, reason))


def _run(
    facts: RecordFacts,
    *,
    name: str,
    steps: int,
    trainee: Trainee,
    outcome: tuple[RunStatus, ValidationLoss | None, str],
) -> Run:
    status, measured, note = outcome
    job, shape, counts = facts.job, facts.shape, count_params(facts.shape)
    batch_tokens = job["batch"] * shape.context
    tokens, trained = steps * batch_tokens, trainee.step * batch_tokens
    speed = trained / trainee.seconds if trainee.seconds else 0.0
    seen = facts.data.uses(sequences=steps * job["batch"], context=shape.context)
    exact = train_flops_per_token(shape)
    tail = [point.loss for point in trainee.curve[-10:]]
    return Run(
        run=name,
        status=status,
        role=job["role"],
        trunk=job["trunk"],
        params=matmul_params(shape),
        params_convention=PARAMS_CONVENTION,
        param_counts={**asdict(counts), "total": counts.total, "matmul": matmul_params(shape)},
        tokens=tokens,
        unique_tokens=sum(part.unique for part in seen),
        flops=6.0 * matmul_params(shape) * tokens,
        flops_exact=float(exact * tokens),
        loss=measured.nats if measured else None,
        loss_se=measured.standard_error if measured else None,
        train_loss=sum(tail) / len(tail) if tail else None,
        tokens_per_byte=facts.data.tokens_per_byte,
        shape=shape.to_dict(),
        parametrization=job["parametrization"],
        schedule={**job["schedule"], "kind": job["schedule"].get("kind", "wsd"), "steps": steps},
        optimizer={**job["optimizer"], "kind": job["optimizer"].get("kind", "adamw")},
        seed=job["seed"],
        tokenizer_hash=facts.data.tokenizer_hash,
        corpus_hash=facts.data.corpus_hash,
        seconds=trainee.seconds,
        tokens_per_second=speed,
        mfu=speed * exact / job["peak_flops"] if job["peak_flops"] else None,
        hardware=hardware(job["threads"], job["device"]),
        versions=versions(),
        config=job
        | {"tokens": str(facts.data.folder)}
        | ({"mixture": [asdict(part) for part in seen]} if facts.data.parts else {}),
        started_at=facts.started_at,
        finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        note=" ".join(filter(None, (note, _repeats(seen) if facts.data.parts else ""))),
    )


def _repeats(seen: list[PartUse]) -> str:
    """A sentence about the parts of a mixture that were read more than once."""
    often = [f"{part.name} {part.epochs:.2g} times" for part in seen if part.epochs > 1]
    return f"Of the mixture were read again: {', '.join(often)}." if often else ""


def hardware(threads: int, device: str) -> dict[str, Any]:
    """The machine that trained: device, processor, cores, threads used."""
    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.startswith("cuda") else {}
    name = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [line.split(":", 1)[1].strip() for line in cpu_info.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    found = {"device": device, "processor": name, "cores": os.cpu_count(), "threads": threads}
    return {**found, **gpu, "system": platform.system()}


def versions() -> dict[str, str]:
    """Versions of what computed the numbers."""
    found = {"isoflop": __version__, "python": sys.version.split()[0], "torch": torch.__version__}
    for package in ("numpy", "tokenizers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def write_tensorboard(folder: Path, curve: Iterable[CurvePoint], validation: Iterable[tuple[int, float]] = ()) -> None:
    """Write the curve, and the validation loss at some steps, as TensorBoard events, replacing those in `folder`."""
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(folder)) as writer:
        for point in curve:
            for name in ("loss", "lr", "grad_norm"):
                writer.add_scalar(f"train/{name}", getattr(point, name), point.step)
        for step, loss in validation:
            writer.add_scalar("validation/loss", loss, step)
