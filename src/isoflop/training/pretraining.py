"""One model from a plan: train it, measure it on the way and at the end, save it; go on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from isoflop.errors import UserError
from isoflop.evaluation import ValidationLoss, validation_loss
from isoflop.executors import alone
from isoflop.runs import read_run
from isoflop.training.averaging import WeightAverage
from isoflop.training.checkpoint import load_checkpoint, save_checkpoint
from isoflop.training.course import Event, Training
from isoflop.training.interrupt import StopRequest
from isoflop.training.plan import Plan
from isoflop.training.precision import set_precision
from isoflop.training.processor import processor_settings
from isoflop.training.trainee import Trainee
from isoflop.training.watchdog import Unwatched

CHECKPOINT = ".train.ckpt"
CHECKPOINTS = "checkpoints"
"""What one process leaves on the way (a file), and what several do (a folder)."""
NOT_OF_THE_RESULT = ("plan", "machine")
"""Sections of a plan that may change between two sittings."""


def pretrain(
    plan: Plan, out: Path, *, threads: int = 1, device: str = "cpu", watch: Unwatched | None = None
) -> Iterator[Event]:
    """Train `plan` in the folder `out`, or go on with it, yielding what happens and at last the record.

    Leaves `run.json`, `curve.jsonl`, TensorBoard events and the folder `model`. Ctrl-C (or SIGTERM) saves and stops
    after the step under way; whatever ended an earlier sitting, the next one comes to the same curve, bit for bit. A
    `watch` (`Watchdog`) hears of every activity. Raises `UserError` where `out` holds another run, the text is too
    short, or the disk is full.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("There is no CUDA device here: leave out --device, or name cpu.")
    if "diloco" in plan.machine:
        raise UserError("machine.diloco needs several processes: start them with --nproc, or leave it out.")
    if "checkpoints" in plan.machine:
        raise UserError("machine.checkpoints is for several processes: start them with --nproc, or leave it out.")
    out = out.resolve()
    with alone(out, what="a training"):
        settle(plan, out, divided=False)
        if (out / "run.json").exists():
            yield read_run(out)
            return
        with processor_settings(threads), StopRequest() as stop:
            yield from OneProcess(plan, out, threads=threads, device=device).events(stop, watch or Unwatched())


def settle(plan: Plan, out: Path, *, divided: bool) -> None:
    """Refuse a folder that holds another training, or this one begun by one process and now divided, or the reverse."""
    if (out / (CHECKPOINT if divided else CHECKPOINTS)).exists():
        begun, go_on = ("one process", "without --nproc") if divided else ("several processes", "with --nproc")
        raise UserError(f"{out} holds a training that {begun} began: go on {go_on}, or choose another --out.")
    if (out / "study.json").exists():
        raise UserError(f"{out} holds a study: choose another --out for the training.")
    path = out / "plan.json"
    settings: dict[str, Any] = json.loads(json.dumps(asdict(plan)))
    if not path.exists():
        if (out / "run.json").exists():
            raise UserError(f"{out} holds a run that came from no plan: choose another --out.")
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    old, new = _flat(before), _flat(settings)
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if changed:
        raise UserError(f"{out} holds a training with another {', '.join(changed)}: choose another --out to keep both.")


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Keys with their sections, of what decides the numbers."""
    sections = {name: value for name, value in settings.items() if name not in NOT_OF_THE_RESULT}
    flat = {
        f"{name}.{key}": value
        for name, section in sections.items()
        for key, value in (section.items() if isinstance(section, dict) else [("", section)])
    }
    flat.pop("train.checkpoint_minutes", None)
    flat["machine.diloco"] = settings.get("machine", {}).get("diloco")  # decides the numbers, unlike a layout
    return flat


@final
class OneProcess(Training):
    """A training that one process does alone."""

    def build(self, device: str) -> Trainee:
        """The whole model, in the precision that suits the device."""
        model, rules = self.plain_model()
        model = set_precision(model.to(device), self.choice)
        ema = self.plan.train.ema
        return Trainee(model, self.optimizer_of(model, rules), WeightAverage(model, ema) if ema else None)

    def restore(self) -> None:
        """From the file of the last sitting."""
        state = load_checkpoint(self.out / CHECKPOINT)
        if state is not None:
            self.refuse_other_text(state["text"])
            self.trainee.load(state)
            self.bad_steps.load(state["bad_steps"])
            self.validation = [(int(step), float(loss)) for step, loss in state["validation"]]

    def due(self, stop: StopRequest, now: float) -> bool:
        """When asked to stop, and every so many minutes."""
        self.stopping = stop.asked
        return self.stopping or now - self.saved_at > 60 * self.plan.train.checkpoint_minutes

    def keep(self) -> None:
        """In one file."""
        state = self.trainee.state() | {"bad_steps": self.bad_steps.state(), "text": self.text.hash}
        save_checkpoint(self.out / CHECKPOINT, state | {"validation": [list(one) for one in self.validation]})

    def done(self) -> None:
        """The file goes."""
        (self.out / CHECKPOINT).unlink(missing_ok=True)

    def validation_loss(self) -> ValidationLoss:
        """Of the averaged weights where there are any."""
        with self._average():
            return validation_loss(self.trainee.model, self.valid)

    def save_to(self, save: Callable[[nn.Module], None]) -> None:
        """The averaged weights where there are any."""
        with self._average():
            save(self.trainee.model)

    def note(self) -> str:
        """The loss of the last weights, where the record's is that of an average."""
        if self.trainee.average is None:
            return ""
        last = validation_loss(self.trainee.model, self.valid).nats
        return f"the loss is that of the averaged weights; the last weights have {last:.4f}"

    def where(self) -> dict[str, Any]:
        """Nothing: there is one."""
        return {}

    def _average(self) -> AbstractContextManager[None]:
        average = self.trainee.average
        return average.in_place() if average is not None else nullcontext()
