"""Fine-tuning to any task: train, measure on dev after each epoch and on all held-out parts at the end, save."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isoflop.adaptation.depth import train_from_above, trained_names
from isoflop.adaptation.floor import MISSING
from isoflop.adaptation.hub import model_folder
from isoflop.adaptation.joint import JointBatches
from isoflop.adaptation.losses import BALANCED
from isoflop.adaptation.objective import Objective, label_counts
from isoflop.adaptation.pretrained import Pretrained, read_pretrained
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.record import Facts, model_card, now, run_record
from isoflop.adaptation.result import Result, read_result
from isoflop.adaptation.saved import CARD
from isoflop.adaptation.split import Split, check_measurable
from isoflop.adaptation.stopping import BestEpoch
from isoflop.adaptation.task import Measured, Trial
from isoflop.adaptation.task_model import EpochBatches
from isoflop.errors import UserError
from isoflop.evaluation.evaluated import intervals_of
from isoflop.evaluation.intervals import Resampling
from isoflop.evaluation.scores import TaskScores
from isoflop.executors import alone
from isoflop.files import write_json, write_text
from isoflop.runs import write_run
from isoflop.training import Choice, RunSchedule, choose, set_precision, train_steps
from isoflop.training.checkpoint import load_checkpoint, save_checkpoint
from isoflop.training.interrupt import StopRequest
from isoflop.training.loop import SeededBatches
from isoflop.training.processor import processor_settings
from isoflop.training.record import write_tensorboard
from isoflop.training.trainee import Trainee

JOB, CHECKPOINT = "job.json", ".finetune.ckpt"
NOT_OF_THE_RESULT = ("threads",)
CURVE_POINTS = 400
CHECKPOINT_SECONDS = 120.0
RESAMPLING = Resampling(draws=1_000)
"""Of the intervals beside the figures; `isoflop evaluate` takes its time for more draws, and tests."""


@dataclass(frozen=True)
class Machine:
    """Where it is computed."""

    threads: int = 1
    device: str = "cpu"


@dataclass(frozen=True)
class Ready:
    """Examples are tokenised and the model stands: what will be trained."""

    params: int
    trained: int
    """Weights that are trained."""
    steps: int
    begun: int
    """Steps that an earlier sitting had done."""
    how: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Stepped:
    """`step` of `steps` are done."""

    step: int
    steps: int
    loss: float


@dataclass(frozen=True)
class EpochEnded:
    """What dev says after an epoch: the task's main figure, and the loss where the task has one."""

    epoch: int
    scores: TaskScores

    @property
    def nats(self) -> float | None:
        return self.scores.nats


@dataclass(frozen=True)
class Diverged:
    """The training failed, and why; nothing was saved but its curve."""

    reason: str


Event = Ready | Stepped | EpochEnded | Diverged | Result


def finetune(
    model: Path, split: Split, *, out: Path, recipe: Recipe | None = None, machine: Machine | None = None
) -> Iterator[Event]:
    """Fine-tune the model in the folder `model` (or of that name on the Hub) on the examples `split` of a task into the
    folder `out`, or go on with it; ends with `Result`.

    Leaves `model` (see `saved`), `metrics.json`, predictions of each held-out part, `run.json`, `curve.jsonl` and
    TensorBoard events. Ctrl-C (or SIGTERM) saves and stops after the step under way; the next sitting comes to the same
    weights. Raises `UserError` where `out` holds another fine-tuning, there is nothing to measure on, or the model, its
    tokenizer and the task do not fit.
    """
    check_measurable(split.parts)
    recipe, machine = recipe or Recipe(), machine or Machine()
    if recipe.patience is not None and "dev" not in split.parts:
        raise UserError("--patience stops by what dev says: name a table with --dev.")
    if machine.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("There is no CUDA device here: leave out --device, or name cpu.")
    out = out.resolve()
    with alone(out, what="a fine-tuning"), processor_settings(machine.threads), StopRequest() as stop:
        training = _Finetuning(model_folder(model).resolve(), split, out=out, recipe=recipe, machine=machine)
        _settle(training.facts.job, out)
        if (out / "run.json").exists():
            yield read_result(out) if (out / "metrics.json").exists() else Diverged("it did so in an earlier sitting")
            return
        yield from training.events(stop)


def _settle(job: dict[str, Any], out: Path) -> None:
    """Write the job down; refuse a folder that holds another."""
    path = out / JOB
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        keys = [key for key in before.keys() | job.keys() if key not in NOT_OF_THE_RESULT]
        changed = sorted(key for key in keys if before.get(key) != job.get(key))
        if changed:
            raise UserError(f"{out} holds a fine-tuning with another {', '.join(changed)}: choose another --out.")
    elif (out / "run.json").exists():
        raise UserError(f"{out} holds a run of another kind: choose another --out.")
    write_json(path, job)


class _Finetuning:
    """What the phases of one fine-tuning share."""

    def __init__(self, folder: Path, split: Split, *, out: Path, recipe: Recipe, machine: Machine) -> None:
        self.split, self.out, self.recipe = split, out, recipe
        self.pretrained = read_pretrained(folder, stacks=split.task.stacks)
        self.trial: Trial = split.task.trial(self.pretrained, split, recipe)
        model = self.trial.model
        recipe.method.prepare(model.body, seed=recipe.seed)
        for weight in model.unread() if recipe.joint is None else ():  # what was pretrained reads them all
            weight.requires_grad_(False)
        self.per_epoch = self.trial.batches.per_epoch
        self.steps = self.per_epoch * recipe.epochs
        self.batches = SeededBatches(_OnDevice(self._all_batches(), machine.device), recipe.seed)
        self.choice = _precision(self.pretrained, recipe, self.steps, machine.device)
        set_precision(model.to(machine.device), self.choice)
        self.objective = Objective(model, recipe.loss, self._label_weights(machine.device))
        self.model, self.trainee = model, Trainee(model, recipe.optimizer(model))
        self.trainee.minds_trend = recipe.joint is None or recipe.joint.first == recipe.joint.last
        self.best = BestEpoch(trained_names(model))
        self.validation: list[tuple[int, float]] = []
        job, step_tokens = _job(folder, self, machine), round(self.trial.epoch_tokens / self.per_epoch)
        self.facts = Facts(job, self.pretrained, split, self.trial.about, self.steps, step_tokens, now())

    def events(self, stop: StopRequest) -> Iterator[Event]:
        state = load_checkpoint(self.out / CHECKPOINT)
        if state is not None:
            self.trainee.load(state)
            self.validation = [(int(step), float(nats)) for step, nats in state["validation"]]
            self.best.load(state["best"])
        yield self._ready()
        yield from self._steps(stop)
        ended = self._end()
        (self.out / CHECKPOINT).unlink(missing_ok=True)
        yield ended

    def _ready(self) -> Ready:
        weights = list(self.model.parameters())
        trained = sum(weight.numel() for weight in weights if weight.requires_grad)
        params = sum(weight.numel() for weight in weights)
        return Ready(params, trained, self.steps, self.trainee.step, str(self.choice), self._notes())

    def _notes(self) -> tuple[str, ...]:
        return (*self.pretrained.notes, *self.split.warnings, *self.trial.notes, *self.recipe.notes(self.model))

    def _all_batches(self) -> EpochBatches | JointBatches:
        """The task's batches, each with a text to predict where the objective is joint."""
        joint = self.recipe.joint
        if joint is None:
            return self.trial.batches
        return JointBatches(
            self.trial.batches, joint, pretrained=self.pretrained, steps=self.steps, seed=self.recipe.seed
        )

    def _label_weights(self, device: str) -> Tensor | None:
        """The weight of each label in the loss, where they have any."""
        loss, labels = self.recipe.loss, self.split.labels
        counts = label_counts(self.trial.batches, len(labels)) if loss.weights == BALANCED and labels else []
        weight_K = loss.weight_of(labels, counts)
        return None if weight_K is None else weight_K.to(device)

    def _steps(self, stop: StopRequest) -> Iterator[Event]:
        trainee, recipe, every = self.trainee, self.recipe, max(1, self.steps // CURVE_POINTS)
        schedule = RunSchedule("linear", self.steps, round(recipe.warmup_share * self.steps))
        started, before = time.perf_counter(), trainee.seconds
        saved_at = started
        self._unfreeze()
        if self._is_over():
            return
        training = train_steps(
            self.objective,
            self.batches,
            optimizer=trainee.optimizer,
            steps=range(trainee.step, self.steps),
            lr_factor=schedule.factor,
            clip=recipe.clip,
            accumulate=1 if self.model.divides_itself else recipe.accumulate,
        )
        for step in training:
            trainee.seconds = before + time.perf_counter() - started
            trainee.follow(step, tokens=self.facts.step_tokens, every=every)
            if trainee.failure is not None:
                return
            yield Stepped(trainee.step, self.steps, step.loss)
            if trainee.step % self.per_epoch == 0:
                if "dev" in self.split.parts:
                    yield self._epoch()
                self._unfreeze()
            if stop.asked or time.perf_counter() - saved_at > CHECKPOINT_SECONDS:
                saved_at = time.perf_counter()
                validation = [list(one) for one in self.validation]
                state = trainee.state() | {"validation": validation, "best": self.best.state()}
                save_checkpoint(self.out / CHECKPOINT, state)
                stop.obey()
            if self._is_over():
                return

    def _is_over(self) -> bool:
        """Whether dev has not been better for so many epochs that training ends early."""
        return self.recipe.patience is not None and self.best.is_over(self.recipe.patience)

    def _unfreeze(self) -> None:
        """Let the blocks be trained whose epoch has come."""
        if self.recipe.unfreeze is not None:
            blocks = self.recipe.unfreeze * (self.trainee.step // self.per_epoch)
            train_from_above(self.model, self.best.trained, blocks=blocks)

    def _epoch(self) -> EpochEnded:
        scores = self.trial.measure("dev", is_last=False).scores
        if scores.nats is not None:
            self.validation.append((self.trainee.step, scores.nats))
        epoch = self.trainee.step // self.per_epoch
        if self.recipe.patience is not None:
            self.best.take(self.model, epoch, scores.worth)
        return EpochEnded(epoch, scores)

    def _end(self) -> Result | Diverged:
        trainee = self.trainee
        result = self._measured() if trainee.failure is None else None
        write_tensorboard(self.out, trainee.curve, self.validation)
        first = next(iter(result.scores.values())) if result else None
        write_run(self.out, run_record(self.facts, self.out.name, trainee=trainee, measured=first), trainee.curve)
        return result or Diverged(str(trainee.failure))

    def _measured(self) -> Result:
        """Make an ordinary model of the trained one, measure it as it will be used, and save it."""
        self.best.restore(self.model)
        self.recipe.method.finish(self.model.body)
        scores = {name: self._predicted(name) for name in self.split.held_out}
        floor = self.trial.floor()
        warnings = (*self._notes(), *self.best.notes(self.recipe.epochs), *(() if floor else (MISSING,)))
        intervals = {name: intervals_of(one, RESAMPLING) for name, one in scores.items()}
        result = Result(scores, floor, self.split.hash, self.trainee.seconds, warnings, intervals)
        self.model.cpu()
        told = dataclasses.replace(self.facts, about=self.trial.about)  # a threshold is known only now
        write_text(self.out / "model" / CARD, model_card(told, result))
        self.trial.save(self.out / "model")
        result.write(self.out)
        return result

    def _predicted(self, part: str) -> TaskScores:
        """Scores of a part, whose predictions are written with where they stand in the data and what each is worth."""
        measured = self.trial.measure(part, is_last=True)
        write_text(self.out / f"predictions-{part}.csv", _as_csv(measured, self.split.parts[part].places))
        return measured.scores


@dataclass(frozen=True)
class _OnDevice:
    """Batches on the device that the model is on."""

    batches: EpochBatches | JointBatches
    device: str

    def at(self, step: int) -> Any:
        return self.batches.at(step).to(self.device)


def _as_csv(measured: Measured, places: tuple[str, ...]) -> str:
    values, table = measured.scores.values, io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("place", *measured.header, *values))
    for at, (place, row) in enumerate(zip(places, measured.rows, strict=True)):
        writer.writerow((place, *row, *(f"{one[at]:g}" for one in values.values())))
    return table.getvalue()


def _precision(pretrained: Pretrained, recipe: Recipe, steps: int, device: str) -> Choice:
    """As in pretraining, but never compiled: batches differ in length, and each length would be compiled anew."""
    if recipe.precision != "auto":
        return Choice(recipe.precision)
    choice = choose(pretrained.model.shape, steps, batch=recipe.batch, device=device)
    return dataclasses.replace(choice, compiled=False, why=choice.why.partition(";")[0])


def _job(folder: Path, made: _Finetuning, machine: Machine) -> dict[str, Any]:
    """All that decides the result, as plain values."""
    info = made.pretrained.info
    assert info.tokenizer is not None
    weights = sorted((*folder.glob("*.safetensors"), *(folder / "model").glob("*.safetensors")))
    job = {
        "task": made.split.task.name,
        "model": str(folder),
        "weights_hash": [_hash(path) for path in weights],
        "tokenizer_hash": _hash(info.tokenizer),
        "data_hash": made.split.hash,
        "recipe": made.recipe.to_dict(),
        "precision": made.choice.dtype,
        "device": machine.device,
        "threads": machine.threads,
        **made.trial.facts,
    }
    joint = made.recipe.joint
    if joint is not None and joint.text is not None:
        job["joint_text_hash"] = _hash(joint.text)
    return json.loads(json.dumps(job))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
