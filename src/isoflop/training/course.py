"""The course of a training, whatever holds the model: steps, bad ones, measurements, checkpoints and the record."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from isoflop.data import Source, objective, validation_of, with_special_tokens
from isoflop.errors import UserError
from isoflop.evaluation import ValidationLoss
from isoflop.files import write_json, write_text
from isoflop.models import Model, WeightRule, build_model, parametrization, save_model
from isoflop.models.parametrization import Size
from isoflop.runs import Run, write_run
from isoflop.shapes import count_params
from isoflop.training.interrupt import StopRequest
from isoflop.training.loop import Batches, SeededBatches, Step, train_steps
from isoflop.training.methods import Rates
from isoflop.training.plan import Plan
from isoflop.training.precision import choose
from isoflop.training.record import RecordFacts, diverged_run, finished_run, write_tensorboard
from isoflop.training.spikes import BadStep, BadSteps, BatchesKept
from isoflop.training.text import read_text
from isoflop.training.trainee import Trainee
from isoflop.training.trunk import CURVE_POINTS, PROGRESS_SECONDS, Progress
from isoflop.training.watchdog import Unwatched


@dataclass(frozen=True)
class Prepared:
    """The text is tokenised and the model built: what will be trained."""

    params: int
    train_tokens: int
    steps: int
    begun: int
    """Steps that an earlier sitting had done."""
    how: str
    """Precision and compilation, and why."""


@dataclass(frozen=True)
class Measured:
    """The validation loss after `step`."""

    step: int
    loss: float
    bits_per_byte: float | None
    """None for an objective that does not predict every token."""


Event = Prepared | Progress | Measured | BadStep | Run


class Training(ABC):
    """Abstract: the course of a training, whatever holds the model. `writes`: this process leaves the files;
    `process`: its number among those that do the training, which draw dropout apart; `stopping`: all stop now."""

    writes = True
    process = 0
    stopping = False

    @abstractmethod
    def build(self, device: str) -> Trainee:
        """The model with its first weights, and its optimiser."""

    @abstractmethod
    def restore(self) -> None:
        """Take over what an earlier sitting has left, if it has."""

    @abstractmethod
    def due(self, stop: StopRequest, now: float) -> bool:
        """Whether the state is to be kept now, before going on or, where it sets `stopping`, before the end."""

    @abstractmethod
    def keep(self) -> None:
        """Keep the state, so that a later sitting can go on."""

    @abstractmethod
    def done(self) -> None:
        """The record is written: what was kept on the way may go."""

    @abstractmethod
    def validation_loss(self) -> ValidationLoss:
        """The loss on the validation side."""

    @abstractmethod
    def where(self) -> dict[str, Any]:
        """What the record should say of processes."""

    @abstractmethod
    def note(self) -> str:
        """What the record should say besides."""

    @abstractmethod
    def save_to(self, save: Callable[[nn.Module], None]) -> None:
        """Call `save` with the whole trained model, in the process that writes."""

    def __init__(self, plan: Plan, out: Path, *, threads: int, device: str) -> None:
        self.plan, self.out, self.objective = plan, out, objective(plan.train.objective)
        self.text = read_text(plan)
        shape, vocabulary = plan.shape, self.text.vocabulary
        self.objective.check(shape, vocabulary)
        source = Source(
            self.text.train, vocabulary, shape.context, plan.batch, plan.train.seed, device, self.text.train_pairs
        )
        self.batches: Batches = self.objective.loader(source)
        if shape.dropout:
            self.batches = SeededBatches(self.batches, plan.train.seed, self.process)
        self.bad_steps = BadSteps(plan.train.on_bad_step, steps=plan.steps)
        self.batches = BatchesKept(self.batches, self.bad_steps)
        self.good: dict[str, Any] | None = None
        """Under `roll_back`, the state to go back to."""
        count = max(2, plan.train.valid_tokens // shape.context)
        held_out = dataclasses.replace(source, tokens=self.text.valid, pairs=self.text.valid_pairs)
        self.valid = validation_of(self.objective, held_out, count=count)
        self.choice = choose(shape, plan.steps, batch=plan.batch, device=device)
        self.trainee = self.build(device)
        self.trainee.minds_spikes = plan.train.on_bad_step != "stop"
        self.validation: list[tuple[int, float]] = []
        job = _job(plan, threads, device) | {"precision": asdict(self.choice)} | self.where()
        self.facts = RecordFacts(json.loads(json.dumps(job)), shape, self.text.data, _now())
        self.every = max(1, plan.steps // CURVE_POINTS)
        self.saved_at = self.told_at = time.perf_counter()

    def events(self, stop: StopRequest, watch: Unwatched) -> Iterator[Event]:
        """All that happens, up to the record."""
        self.watch = watch
        trainee, plan = self.trainee, self.plan
        self.restore()
        if self.writes:
            write_json(self.out / "plan.json", asdict(plan))
        params = count_params(plan.shape).total
        yield Prepared(params, self.text.data.train_tokens, plan.steps, trainee.step, str(self.choice))
        while trainee.step < plan.steps and trainee.failure is None:
            yield from self._steps(stop)
        run = self._end()
        self.done()  # before the record is told: whoever hears it may listen no longer
        yield run

    def measure_at(self) -> set[int]:
        """The steps after which to measure on the way."""
        plan = self.plan
        return {round(plan.steps * share / plan.train.evaluations) for share in range(1, plan.train.evaluations)}

    def after(self, step: Step) -> None:  # noqa: B027  # most have nothing to do
        """Called after every step, before anything is made of it."""

    def _steps(self, stop: StopRequest) -> Iterator[Event]:
        """Up to the end, or to a bad step and what is done about it."""
        trainee, plan = self.trainee, self.plan
        self._keep_good()
        self.watch.doing("step", trainee.step)
        started, first, before = time.perf_counter(), trainee.step, trainee.seconds
        measure_at = self.measure_at()
        training = train_steps(
            trainee.model,
            self.batches,
            optimizer=trainee.optimizer,
            steps=range(trainee.step, plan.steps),
            lr_factor=plan.schedule.factor,
            clip=plan.train.clip,
            accumulate=plan.train.accumulate,
            accept=lambda step: trainee.refuses(step) is None,
        )
        for step in training:
            now = time.perf_counter()
            trainee.seconds = before + now - started
            trainee.follow(step, tokens=plan.train.batch_tokens, every=self.every)
            self.after(step)
            if trainee.fault is not None:
                yield self._meet(step)
                return
            self._keep_good()
            self.watch.doing("step", trainee.step)
            if trainee.step in measure_at:
                yield self._measure()
            if now - self.told_at > PROGRESS_SECONDS or trainee.step == plan.steps:
                self.told_at = now
                yield self._progress(step, (trainee.step - first) * plan.train.batch_tokens / (now - started))
            if self.due(stop, now) and (self.stopping or self._is_good_step()):
                self.saved_at = now
                if not self._is_good_step():
                    self._go_back()
                self.watch.doing("checkpoint", trainee.step)
                self.keep()
                if self.stopping:
                    raise KeyboardInterrupt
                self.watch.doing("step", trainee.step)

    def _is_good_step(self) -> bool:
        """Whether the state may be kept for a later sitting: under `roll_back` only where an uninterrupted run would
        have one to go back to, else the two would go back to different ones."""
        return self.bad_steps.policy != "roll_back" or self.trainee.step % self.bad_steps.every == 0

    def _keep_good(self) -> None:
        if self.bad_steps.policy == "roll_back" and self._is_good_step():
            self.good = self.trainee.state()

    def _go_back(self) -> None:
        """To the last good state; the time that was spent stays spent."""
        assert self.good is not None
        seconds = self.trainee.seconds
        self.trainee.load(self.good)
        self.trainee.seconds = seconds
        self.validation = [one for one in self.validation if one[0] <= self.trainee.step]

    def _meet(self, step: Step) -> BadStep:
        """Do what the plan says of a bad step; where it ends the run, the failure stands."""
        trainee = self.trainee
        assert trainee.fault is not None
        event = self.bad_steps.meet(trainee.fault, step.index, good=self.good["step"] if self.good else step.index)
        if event.done == "roll_back":
            self._go_back()
        elif event.done == "skip":
            trainee.fault = trainee.failure = None
        return event

    def _progress(self, step: Step, speed: float) -> Progress:
        return Progress(self.trainee.step, self.plan.steps, step.loss, speed)

    def _measure(self) -> Measured:
        """Measure where the run is, and write down what is known so far."""
        self.watch.doing("validation", self.trainee.step)
        measured = self.validation_loss()
        self.watch.doing("step", self.trainee.step)
        self.validation.append((self.trainee.step, measured.nats))
        if self.writes:
            write_tensorboard(self.out, self.trainee.curve, self.validation)
        return Measured(self.trainee.step, measured.nats, self._bits_per_byte(measured.nats))

    def _bits_per_byte(self, nats: float) -> float | None:
        every_token = self.objective.name.startswith("causal")
        return nats / math.log(2) * self.text.data.tokens_per_byte if every_token else None

    def _end(self) -> Run:
        trainee, plan = self.trainee, self.plan
        self.watch.doing("validation", trainee.step)
        measured = self.validation_loss() if trainee.failure is None else ValidationLoss(math.nan, math.nan)
        if trainee.failure is None and math.isfinite(measured.nats):
            self.validation.append((trainee.step, measured.nats))
            self.watch.doing("checkpoint", trainee.step)
            self.save_to(self._save)
            run = finished_run(
                self.facts, name=self.out.name, steps=plan.steps, trainee=trainee, measured=measured, note=self.note()
            )
        else:
            reason = trainee.failure or "the validation loss is not finite"
            run = diverged_run(self.facts, name=self.out.name, steps=plan.steps, trainee=trainee, reason=reason)
        run = dataclasses.replace(run, events=[asdict(one) for one in self.bad_steps.met])
        if self.writes:
            lines = [json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in self.validation]
            write_text(self.out / "validation.jsonl", "".join(lines))
            write_tensorboard(self.out, trainee.curve, self.validation)
            write_run(self.out, run, trainee.curve)
        return run

    def _save(self, model: nn.Module) -> None:
        """The trained model as a folder of its own, with the tokenizer that knows its special tokens."""
        tokenizer = self.out / "tokenizer.json"
        write_text(tokenizer, with_special_tokens(self.text.data.tokenizer(), self.plan.special_tokens).to_str())
        save_model(
            self.out / "model",
            model,
            parametrization=self.plan.train.parametrization,
            base=self.plan.base,
            objective=self.plan.train.objective,
            tokenizer=tokenizer,
        )
        tokenizer.unlink()

    def optimizer_of(self, model: nn.Module, rules: dict[str, WeightRule]) -> Any:
        """The plan's optimiser over `model`."""
        plan, table = self.plan, parametrization(self.plan.train.parametrization)
        size = Size.of(plan.shape, plan.base or plan.shape)
        rates = Rates(plan.train.learning_rate, plan.train.weight_decay, table, size)
        return plan.optimizer.method().build(model, rules, rates)

    def plain_model(self) -> tuple[Model, dict[str, WeightRule]]:
        """The plan's model as one process would train it."""
        plan, table = self.plan, parametrization(self.plan.train.parametrization)
        return build_model(plan.shape, table, base=plan.base or plan.shape, seed=plan.train.seed)

    def refuse_other_text(self, known: str) -> None:
        """Raise `UserError` where the text with the hash `known` is not what is read now."""
        if known != self.text.hash:
            raise UserError(f"{self.out} holds a training on other text: restore it, or choose another --out.")


def _job(plan: Plan, threads: int, device: str) -> dict[str, Any]:
    """The plan as the record of a run holds it."""
    train = plan.train
    settings = {key: value for key, value in asdict(plan.optimizer).items() if value is not None and key != "name"}
    return {
        "role": "train",
        "trunk": "",
        "shape": plan.shape.to_dict(),
        "base": (plan.base or plan.shape).to_dict(),
        "batch": plan.batch,
        "parametrization": train.parametrization,
        "objective": train.objective,
        "optimizer": {
            **settings,
            "kind": plan.optimizer.name,
            "lr": train.learning_rate,
            "weight_decay": train.weight_decay,
            "clip": train.clip,
        },
        "schedule": asdict(plan.schedule),
        "ema": train.ema,
        "accumulate": train.accumulate,
        "on_bad_step": train.on_bad_step,
        "seed": train.seed,
        "data": asdict(plan.data),
        "threads": threads,
        "peak_flops": 0.0,
        "device": device,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
