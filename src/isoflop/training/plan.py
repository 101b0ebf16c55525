"""A plan is a file: the model to train, on what, how. What it may say, and how it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from isoflop.data import OBJECTIVES, CorpusConfig, TokenizerConfig, objective
from isoflop.data.corpus import MixturePart
from isoflop.data.sources import STDLIB
from isoflop.errors import UserError
from isoflop.models import parametrization, refuse_tied
from isoflop.settings import read_toml, settings_of
from isoflop.shapes import ModelShape
from isoflop.training.methods import SGD, AdamW, Method, Muon
from isoflop.training.schedules import SCHEDULES, RunSchedule
from isoflop.training.spikes import OnBadStep

SCHEMA = 1


@dataclass(frozen=True)
class TrainSettings:
    """How the model trains. `tokens` and `batch_tokens` count places of sequences that are as long as the context.

    `weight_decay` is the share of every matrix that a step takes away; `clip` is the largest gradient norm; `ema` is
    the decay of an average of the weights, which is then what is evaluated and saved; `accumulate` passes a batch
    through the model in so many parts; `on_bad_step` is what is done about a loss that spikes;
    the validation loss is measured `evaluations` times on `valid_tokens`.
    """

    tokens: int
    batch_tokens: int
    learning_rate: float
    weight_decay: float = 0.0
    clip: float = 1.0
    warmup_tokens: int = 0
    schedule: str = "wsd"
    cooldown_fraction: float = 0.2
    parametrization: Literal["sp", "mup", "u-mup", "completep"] = "u-mup"
    objective: str = "causal"
    ema: float | None = None
    accumulate: int = 1
    on_bad_step: OnBadStep = "stop"
    seed: int = 0
    checkpoint_minutes: float = 5.0
    evaluations: int = 10
    valid_tokens: int = 262_144

    def __post_init__(self) -> None:
        for name in ("tokens", "batch_tokens", "accumulate", "evaluations", "valid_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"train.{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("learning_rate", "clip", "checkpoint_minutes"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"train.{name} must be above 0 and finite, not {getattr(self, name)}.")
        for name in ("weight_decay", "warmup_tokens", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"train.{name} must be at least 0 and finite, not {getattr(self, name)}.")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UserError(f"train.ema must be between 0 and 1, not {self.ema}.")
        if not 0 < self.cooldown_fraction < 1:
            raise UserError(f"train.cooldown_fraction must be between 0 and 1, not {self.cooldown_fraction}.")
        if self.schedule not in SCHEDULES:
            raise UserError(f"train.schedule is {self.schedule!r}: choose one of {', '.join(SCHEDULES)}.")
        if self.objective not in OBJECTIVES:
            raise UserError(f"train.objective is {self.objective!r}: choose one of {', '.join(OBJECTIVES)}.")


@dataclass(frozen=True)
class OptimizerSettings:
    """Which optimiser: `momentum` is for Muon (0.95) and SGD (0.9), the others for AdamW, also that beside Muon."""

    name: Literal["adamw", "muon", "sgd"] = "adamw"
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    momentum: float | None = None

    def method(self) -> Method:
        """The optimiser as a value."""
        adamw = AdamW(self.beta1, self.beta2, self.eps)
        if self.name == "adamw":
            if self.momentum is not None:
                raise UserError("optimizer.momentum is for muon and sgd; adamw has beta1.")
            return adamw
        if self.name == "muon":
            return Muon(0.95 if self.momentum is None else self.momentum, adamw)
        return SGD(0.9 if self.momentum is None else self.momentum)


@dataclass(frozen=True)
class DataSettings:
    """What the model reads: `corpus` as a study's (files, folders, globs, `stdlib`), or `dataset`.

    For the objective `pairs` the corpus is one file of pairs, whose two `pair_columns` may be named, or two files side
    by side. `mixture` names several corpora instead, each with a weight. `tokenizer_vocab` is the size of the
    vocabulary to train; without it, as large as the shape's allows.
    """

    corpus: tuple[str, ...] = (STDLIB,)
    column: str = "text"
    dataset: str = ""
    pair_columns: tuple[str, str] | None = None
    tokenizer_vocab: int | None = None
    tokenizer_bytes: int = TokenizerConfig.train_bytes
    valid_percent: float = 5.0
    mixture: tuple[MixturePart, ...] | None = None

    def corpus_config(self) -> CorpusConfig:
        """The corpus as `data` reads it. Raises `UserError` where the plan names none, as a planner's does not."""
        if not self.corpus and not self.dataset and not self.mixture:
            raise UserError("data.corpus is empty: name the text to train on there, or with --corpus.")
        return CorpusConfig(self.corpus, self.column, self.dataset, self.valid_percent, self.mixture)


@dataclass(frozen=True)
class Plan:
    """A whole plan. `base` is the shape at which the learning rate was tuned (without it, the shape itself); `plan` and
    `machine` are what the planner wrote down for people."""

    shape: ModelShape
    train: TrainSettings
    schema: int = SCHEMA
    plan: dict[str, Any] = field(default_factory=dict)
    base: ModelShape | None = None
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    data: DataSettings = field(default_factory=DataSettings)
    machine: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise UserError(f"schema is {self.schema}, and this version of isoflop reads {SCHEMA}.")
        train, context = self.train, self.shape.context
        refuse_tied(self.shape, parametrization(train.parametrization), base=self.base or self.shape)
        if train.batch_tokens % context:
            below = max(1, train.batch_tokens // context) * context
            raise UserError(
                f"train.batch_tokens is {train.batch_tokens}, not a multiple of shape.context, {context}: "
                f"use {below} or {below + context}."
            )
        if train.tokens < train.batch_tokens:
            raise UserError(f"train.tokens is {train.tokens}, less than one batch of {train.batch_tokens}: raise it.")
        if train.accumulate > self.batch:
            raise UserError(f"train.accumulate is {train.accumulate}, but a batch has {self.batch} sequences.")
        if self.vocab < 257:
            raise UserError(
                f"shape.vocab is {self.shape.vocab}, of which the objective {train.objective!r} takes "
                f"{len(self.special_tokens)}: the tokenizer needs at least 257."
            )
        self.optimizer.method()
        _ = self.schedule

    @property
    def batch(self) -> int:
        """Sequences in a batch."""
        return self.train.batch_tokens // self.shape.context

    @property
    def steps(self) -> int:
        return self.train.tokens // self.train.batch_tokens

    @property
    def schedule(self) -> RunSchedule:
        train = self.train
        warmup = round(train.warmup_tokens / train.batch_tokens)
        return RunSchedule(train.schedule, self.steps, warmup, train.cooldown_fraction)

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """What the objective adds to the vocabulary."""
        return objective(self.train.objective).special_tokens(self.shape.context)

    @property
    def vocab(self) -> int:
        """Entries of the tokenizer, before the objective's."""
        return self.data.tokenizer_vocab or self.shape.vocab - len(self.special_tokens)


def read_plan(path: Path) -> Plan:
    """Read a plan file. Raises `UserError` that names the key for anything unknown, missing or impossible."""
    return settings_of(Plan, read_toml(path, what="plan"), source=str(path))
