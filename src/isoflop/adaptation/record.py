"""The record and the card of a fine-tuning: what was done, to which model, with which data, and what came out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isoflop.adaptation.pretrained import Pretrained, tokens_per_byte
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.result import Result
from isoflop.adaptation.split import Split, strings_in
from isoflop.evaluation.scores import TaskScores
from isoflop.runs import Run
from isoflop.shapes import count_params, matmul_params, train_flops_per_token
from isoflop.training.record import PARAMS_CONVENTION, hardware, versions
from isoflop.training.trainee import Trainee


@dataclass(frozen=True)
class Facts:
    """What is known before the first step: the job as plain values, examples, tokens of a step."""

    job: dict[str, Any]
    pretrained: Pretrained
    split: Split
    about: tuple[str, ...]
    steps: int
    step_tokens: int
    started_at: str


def run_record(facts: Facts, name: str, *, trainee: Trainee, measured: TaskScores | None) -> Run:
    """The run's record; `measured` is dev's scores (test's without dev), None where the training failed.

    Its loss is in nats per what the task's `unit` says: a label, where that is what is predicted of a text.
    """
    shape, job = facts.pretrained.info.shape, facts.job
    counts, tokens = count_params(shape), trainee.step * facts.step_tokens
    train = facts.split.train
    answers = () if facts.split.labels else train.labels
    epoch_tokens = facts.steps * facts.step_tokens // job["recipe"]["epochs"]
    passes = 1 if job["recipe"]["joint"] is None else 2
    tail = [point.loss for point in trainee.curve[-10:]]
    return Run(
        run=name,
        status="diverged" if measured is None else "finished",
        role="finetune",
        trunk="",
        params=matmul_params(shape),
        params_convention=PARAMS_CONVENTION,
        param_counts={**asdict(counts), "total": counts.total, "matmul": matmul_params(shape)},
        tokens=tokens,
        unique_tokens=epoch_tokens,
        flops=6.0 * matmul_params(shape) * tokens * passes,
        flops_exact=float(train_flops_per_token(shape) * tokens * passes),
        loss=None if measured is None else measured.nats,
        loss_se=None if measured is None else measured.nats_standard_error,
        train_loss=sum(tail) / len(tail) if tail else None,
        tokens_per_byte=tokens_per_byte(facts.pretrained.tokenizer, strings_in((train.texts, answers))),
        shape=shape.to_dict(),
        parametrization=facts.pretrained.info.parametrization,
        schedule={"kind": "linear", "steps": facts.steps, "warmup_share": job["recipe"]["warmup_share"]},
        optimizer={"kind": "adamw", "lr": job["recipe"]["learning_rate"], "clip": job["recipe"]["clip"]},
        seed=job["recipe"]["seed"],
        tokenizer_hash=job["tokenizer_hash"],
        corpus_hash=facts.split.hash,
        seconds=trainee.seconds,
        tokens_per_second=trainee.step * facts.step_tokens / trainee.seconds if trainee.seconds else 0.0,
        mfu=None,
        hardware=hardware(job["threads"], job["device"]),
        versions=versions(),
        config=json.loads(json.dumps(job)),
        started_at=facts.started_at,
        finished_at=now(),
        note=trainee.failure or f"loss in nats per {facts.split.task.unit}",
    )


def model_card(facts: Facts, result: Result) -> str:
    """The card as Markdown: base model, data with its hash, recipe, figures, the floor's beside them."""
    job, split = facts.job, facts.split
    recipe = job["recipe"]
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in split.parts.items())
    first, *_ = result.scores.values()
    lines = [
        f"# {Path(job['model']).name}, fine-tuned {split.task.purpose}",
        "",
        f"- Data: {sizes} examples (columns {_columns(split)}), hash `{split.hash}`",
        f"- Files: {', '.join(f'`{Path(part.source).name}` ({name})' for name, part in split.parts.items())}",
        f"- Method: {recipe['method']['name']}, AdamW at {recipe['learning_rate']:g}, batch {recipe['batch']}, "
        f"{recipe['epochs']} epochs, seed {recipe['seed']}, {job['precision']}",
        *(f"- {line}" for line in (*_besides(recipe), *facts.about)),
        "",
        f"| part | what | {' | '.join(first.figures)} |",
        f"| --- | --- |{' --- |' * len(first.figures)}",
    ]
    for part, scores in result.scores.items():
        lines.append(_row(part, "this model", scores))
        if result.floor is not None:
            lines.append(_row(part, result.floor.description, result.floor.scores[part]))
    return "\n".join([*lines, "", *(f"- {warning}" for warning in result.warnings), ""])


def _besides(recipe: dict[str, Any]) -> list[str]:
    """What the recipe asks for besides its usual settings."""
    usual = Recipe().to_dict()
    names = ("accumulate", "layer_decay", "unfreeze", "patience", "loss", "joint")
    return [f"{name.replace('_', ' ').capitalize()}: {recipe[name]}" for name in names if recipe[name] != usual[name]]


def _columns(split: Split) -> str:
    return ", ".join(f"`{name}`" for name in asdict(split.train.columns).values())


def _row(part: str, what: str, scores: TaskScores) -> str:
    return f"| {part} | {what} | " + " | ".join(f"{value:.4f}" for value in scores.figures.values()) + " |"


def now() -> str:
    """The time as a record holds it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
