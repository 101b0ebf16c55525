"""One trunk at a constant rate, a cool-down branched off at each token budget: several measured runs for one price."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isoflop.data import CausalBatches, load_tokens, validation_batch
from isoflop.errors import UserError
from isoflop.evaluation import ValidationLoss, validation_loss
from isoflop.models import build_model, parametrization, refuse_tied
from isoflop.runs import Run, read_run, write_run
from isoflop.runs.run import Role
from isoflop.shapes import ModelShape
from isoflop.training.checkpoint import load_checkpoint, save_checkpoint
from isoflop.training.loop import Step, train_steps
from isoflop.training.optimizer import OptimizerConfig, build_optimizer
from isoflop.training.processor import processor_settings
from isoflop.training.record import RecordFacts, diverged_run, finished_run, write_tensorboard
from isoflop.training.schedule import Schedule
from isoflop.training.trainee import Trainee

PROGRESS_SECONDS = 0.25
CURVE_POINTS = 400


@dataclass(frozen=True)
class TrunkJob:
    """Everything that decides a trunk's runs, as plain values that JSON can hold.

    `milestones` are the token budgets in steps, ascending; `base` is the shape at which the learning rate was tuned.
    """

    trunk: str
    role: Role
    shape: ModelShape
    base: ModelShape
    milestones: tuple[int, ...]
    batch: int
    parametrization: str
    optimizer: OptimizerConfig
    schedule: Schedule
    seed: int
    valid_sequences: int
    data: str
    out: str
    threads: int = 1
    peak_flops: float = 0.0
    """Measured matmul rate of the `threads` used, FLOP/s; 0 where unknown (then no MFU is given)."""
    checkpoint_seconds: float = 10.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not self.milestones or list(self.milestones) != sorted(set(self.milestones)) or self.milestones[0] < 1:
            raise UserError(f"A trunk needs ascending token budgets of at least one step, not {self.milestones}.")
        refuse_tied(self.shape, parametrization(self.parametrization), base=self.base)

    @property
    def batch_tokens(self) -> int:
        return self.batch * self.shape.context

    @property
    def branches(self) -> tuple[int, ...]:
        """The trunk step at which each cool-down starts; each trunk segment ends where the next branch is."""
        return tuple(n - self.schedule.cooldown_steps(n) for n in self.milestones)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the trunk and all cool-downs: what the job costs."""
        return max(self.branches) + sum(self.schedule.cooldown_steps(n) for n in self.milestones)

    def run_name(self, index: int) -> str:
        return f"{self.trunk}-D{self.milestones[index] * self.batch_tokens}"

    def run_folder(self, index: int) -> Path:
        return Path(self.out) / self.run_name(index)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "milestones": list(self.milestones)}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> TrunkJob:
        nested = {
            "shape": ModelShape(**record["shape"]),
            "base": ModelShape(**record["base"]),
            "optimizer": OptimizerConfig(**record["optimizer"]),
            "schedule": Schedule(**record["schedule"]),
            "milestones": tuple(record["milestones"]),
        }
        return cls(**{**record, **nested})


@dataclass(frozen=True)
class Progress:
    """How far a job is: steps done of all its steps, the last training loss, tokens per second."""

    done: int
    total: int
    loss: float
    tokens_per_second: float


def train_trunk(job: TrunkJob) -> Iterator[Progress | Run]:
    """Train `job`, yielding progress, and each measured `Run` once its record is on disk.

    Continues from whatever its folder holds: finished runs are read, an unfinished one goes on from its last
    checkpoint to the same curve, bit for bit. Raises `UserError` where the disk is full or the text too short.
    """
    finished = [finished_run_of(job, index) for index in range(len(job.milestones))]
    yield from (run for run in finished if run is not None)
    if all(finished):
        return
    with processor_settings(job.threads):
        yield from TrunkTraining(job).runs(done=[run is not None for run in finished])
    for path in (job_file(job, "trunk"), job_file(job, "cooldown")):
        path.unlink(missing_ok=True)


def job_file(job: TrunkJob, kind: str) -> Path:
    """Where the checkpoint of the trunk, or of the cool-down under way, lies."""
    return Path(job.out) / f".{job.trunk}.{kind}.ckpt"


def finished_run_of(job: TrunkJob, index: int) -> Run | None:
    """The record of the job's run at budget `index`, None where it is not on disk yet."""
    return read_run(job.run_folder(index)) if (job.run_folder(index) / "run.json").exists() else None


class TrunkTraining:
    """The walk along a trunk; holds what its phases share."""

    def __init__(self, job: TrunkJob) -> None:
        self.job = job
        self.data = load_tokens(Path(job.data))
        self.batches = CausalBatches(self.data.train(), job.shape.context, job.batch, job.seed, job.device)
        valid = validation_batch(self.data.valid(), context=job.shape.context, count=job.valid_sequences)
        self.valid = valid.to(job.device)
        model, rules = build_model(job.shape, parametrization(job.parametrization), base=job.base, seed=job.seed)
        model = model.to(job.device)
        self.trainee = Trainee(model, build_optimizer(model, rules, job.optimizer))
        self.facts = RecordFacts(job.to_dict(), job.shape, self.data, _now())
        self.every = max(1, max(job.milestones) // CURVE_POINTS)
        self.saved_at = self.told_at = time.perf_counter()

    def runs(self, *, done: list[bool]) -> Iterator[Progress | Run]:
        branches = self.job.branches
        state = load_checkpoint(job_file(self.job, "trunk"))
        first_missing = branches[done.index(False)]
        if state is not None and state["step"] <= first_missing:
            self.trainee.load(state)
        for index, branch in enumerate(branches):
            if self.trainee.failure is None:
                yield from self._phase(range(self.trainee.step, branch), self.job.schedule.trunk, "trunk")
            if not done[index]:
                yield from self._measure(index)

    def _measure(self, index: int) -> Iterator[Progress | Run]:
        """Cool down from the trunk's state, evaluate, write the record, and go back to the trunk."""
        trunk = self.trainee.state()
        if self.trainee.failure is None:
            save_checkpoint(job_file(self.job, "trunk"), trunk)
            steps, branch = self.job.schedule.cooldown_steps(self.job.milestones[index]), self.job.branches[index]
            self._resume_cooldown(index)
            yield from self._phase(
                range(self.trainee.step, branch + steps),
                lambda step: self.job.schedule.cooldown(step - branch, steps),
                "cooldown",
                index=index,
            )
        yield self.record(index)
        job_file(self.job, "cooldown").unlink(missing_ok=True)
        self.trainee.load(trunk)

    def _phase(self, steps: range, factor: Any, kind: str, *, index: int = -1) -> Iterator[Progress]:
        trainee, job = self.trainee, self.job
        started, first = time.perf_counter(), trainee.step
        before = trainee.seconds
        training = train_steps(
            trainee.model,
            self.batches,
            optimizer=trainee.optimizer,
            steps=steps,
            lr_factor=factor,
            clip=job.optimizer.clip,
        )
        for step in training:
            now = time.perf_counter()
            trainee.seconds = before + now - started
            trainee.follow(step, tokens=job.batch_tokens, every=self.every)
            if trainee.failure is not None:
                return
            if now - self.told_at > PROGRESS_SECONDS:
                self.told_at = now
                yield self._progress(step, index, (trainee.step - first) * job.batch_tokens / (now - started))
            if now - self.saved_at > job.checkpoint_seconds:
                self.saved_at = now
                save_checkpoint(job_file(job, kind), trainee.state() | {"index": index})

    def _progress(self, step: Step, index: int, speed: float) -> Progress:
        schedule, milestones = self.job.schedule, self.job.milestones
        branches_done = index if index >= 0 else sum(step.index >= branch for branch in self.job.branches)
        extra = sum(schedule.cooldown_steps(n) for n in milestones[:branches_done])
        return Progress(step.index + 1 + extra, self.job.total_steps, step.loss, speed)

    def record(self, index: int) -> Run:
        """Evaluate, and leave the record of the run at budget `index` on disk."""
        job, trainee = self.job, self.trainee
        name, steps = job.run_name(index), job.milestones[index]
        measured = ValidationLoss(math.nan, math.nan)
        if trainee.failure is None:
            measured = validation_loss(trainee.model, self.valid)
        if trainee.failure is None and math.isfinite(measured.nats):
            run = finished_run(self.facts, name=name, steps=steps, trainee=trainee, measured=measured)
        else:
            reason = trainee.failure or "the validation loss is not finite"
            run = diverged_run(self.facts, name=name, steps=steps, trainee=trainee, reason=reason)
        folder = job.run_folder(index)
        write_tensorboard(folder, trainee.curve)
        write_run(folder, run, trainee.curve)
        return run

    def _resume_cooldown(self, index: int) -> None:
        state = load_checkpoint(job_file(self.job, "cooldown"))
        if state is not None and state["index"] == index:
            self.trainee.load(state)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
