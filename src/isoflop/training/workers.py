"""One model trained by workers that meet now and then (DiLoCo): the events, record and model of one process."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
import torch.distributed as dist
from torch import nn

from isoflop.errors import UserError
from isoflop.evaluation import ValidationLoss, validation_loss
from isoflop.models import Batch
from isoflop.parallel.diloco import DiLoCo, OuterStep
from isoflop.training.checkpoint import load_checkpoint, save_checkpoint
from isoflop.training.course import Training
from isoflop.training.interrupt import StopRequest
from isoflop.training.loop import Batches, Step
from isoflop.training.plan import Plan
from isoflop.training.precision import set_precision
from isoflop.training.spikes import Fault
from isoflop.training.trainee import Trainee

FILE = re.compile(r"worker-\d+-of-(\d+)\.step-(\d+)\.ckpt")


@dataclass(frozen=True)
class Share:
    """A worker's sequences of every batch."""

    batches: Batches
    worker: int
    workers: int

    def at(self, step: int) -> Batch:
        """Its part of the batch of `step`, counted from 0."""
        batch = self.batches.at(step)
        return next(part for n, part in enumerate(batch.split(len(batch.inputs) // self.workers)) if n == self.worker)


@final
class Worker(Training):
    """One of the workers; the first one writes, and the curve is its own. All validate, on shared weights."""

    def __init__(self, plan: Plan, out: Path, *, settings: DiLoCo, device: str) -> None:
        self.settings, self.rank, self.world = settings, dist.get_rank(), dist.get_world_size()
        self.writes, self.meeting = self.rank == 0, False
        self.trouble: tuple[Fault, str] | None = None
        super().__init__(plan, out, threads=1, device=device)
        self.batches = Share(self.batches, self.rank, self.world)

    def build(self, device: str) -> Trainee:
        """The whole model, alike in all."""
        model, rules = self.plain_model()
        model = set_precision(model.to(device), self.choice)
        self.outer = OuterStep(model.parameters(), self.settings)
        return Trainee(model, self.optimizer_of(model, rules))

    def measure_at(self) -> set[int]:
        """At the meetings that are next."""
        every, steps = self.settings.every, self.plan.steps
        return {step for at in super().measure_at() if (step := -(-at // every) * every) < steps}

    def after(self, step: Step) -> None:
        """Meet, where it is time: what went wrong in any worker since the last meeting went wrong in all."""
        trainee = self.trainee
        if trainee.fault is not None and self.trouble is None:
            assert trainee.failure is not None
            self.trouble = trainee.fault, f"{trainee.failure} of worker {self.rank}"
        trainee.fault = trainee.failure = None
        self.meeting = (step.index + 1) % self.settings.every == 0 or step.index + 1 == self.plan.steps
        if not self.meeting:
            return
        troubles = [one for one in self._of_all(self.trouble) if one is not None]
        if troubles:
            trainee.fault, trainee.failure = troubles[0]
        else:
            self.outer.step()

    def restore(self) -> None:
        """From the last step that all workers have kept."""
        folder = self.out / "checkpoints"
        names = [FILE.fullmatch(path.name) for path in folder.glob("worker-*")]
        others = next(iter(self._of_all({int(n[1]) for n in names if n} - {self.world})))
        if others:
            raise UserError(
                f"{self.out} holds a training by {min(others)} workers, not {self.world}: with DiLoCo their number "
                f"decides the result; use --nproc {min(others)} or another --out."
            )
        mine = {int(n[2]) for n in names if n and self._file(int(n[2])).exists()}
        for step in sorted(set.intersection(*self._of_all(mine)), reverse=True):
            state = load_checkpoint(self._file(step))
            if all(self._of_all(state is not None)):
                assert state is not None
                self.refuse_other_text(state["text"])
                self.trainee.load(state)
                self.outer.load(state["outer"])
                self.validation = [(int(at), float(loss)) for at, loss in state["validation"]]
                return

    def due(self, stop: StopRequest, now: float) -> bool:
        """At meetings only, where all are alike: when any is asked to stop, and by the first one's clock."""
        if not self.meeting:
            return False
        late = self.writes and now - self.saved_at > 60 * self.plan.train.checkpoint_minutes
        flags = torch.tensor([stop.asked, late], dtype=torch.int32)
        dist.all_reduce(flags)
        self.stopping = bool(flags[0])  # and not what `asked` says by now: the others have not heard of that
        return bool(flags.any())

    def keep(self) -> None:
        """In one file for each worker; the ones before go when all have written."""
        step = self.trainee.step
        state = self.trainee.state() | {"outer": self.outer.state(), "text": self.text.hash}
        save_checkpoint(self._file(step), state | {"validation": [list(one) for one in self.validation]})
        dist.barrier()
        for path in self._file(step).parent.glob(f"worker-{self.rank}-of-*"):
            if path != self._file(step):
                path.unlink()

    def done(self) -> None:
        """The files go."""
        dist.barrier()
        folder = self.out / "checkpoints"
        if self.writes and folder.is_dir():
            for path in folder.glob("worker-*"):
                path.unlink()
            folder.rmdir()

    def validation_loss(self) -> ValidationLoss:
        """Of the shared weights."""
        return validation_loss(self.trainee.model, self.valid)

    def save_to(self, save: Callable[[nn.Module], None]) -> None:
        """The shared weights, by the first worker."""
        if self.writes:
            save(self.trainee.model)

    def where(self) -> dict[str, Any]:
        """How many workers, and how they meet."""
        return {"processes": self.world, "diloco": asdict(self.settings)}

    def note(self) -> str:
        """What is one worker's alone."""
        return f"trained by {self.world} workers with DiLoCo; the curve is the first one's"

    def _file(self, step: int) -> Path:
        return self.out / "checkpoints" / f"worker-{self.rank}-of-{self.world}.step-{step}.ckpt"

    def _of_all(self, value: Any) -> list[Any]:
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values
