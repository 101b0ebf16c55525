"""One model from a plan on many processes: the events, record and model of one process, whatever the layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, final

import torch
import torch.distributed as dist
from torch import nn

from isoflop.errors import UserError
from isoflop.evaluation import ValidationLoss
from isoflop.executors import alone
from isoflop.models import IGNORED, Batch, draw_weight
from isoflop.parallel import Checkpoints, Groups, Method, Parallelized, make_groups, parallelize, weights_on_meta
from isoflop.runs import CurvePoint, read_run
from isoflop.training.course import Event, Training
from isoflop.training.interrupt import StopRequest
from isoflop.training.layout import diloco_of, layout_of
from isoflop.training.plan import Plan
from isoflop.training.pretraining import CHECKPOINTS, settle
from isoflop.training.processor import processor_settings
from isoflop.training.text import read_text
from isoflop.training.trainee import Trainee
from isoflop.training.watchdog import Unwatched
from isoflop.training.workers import Worker

T = TypeVar("T")


def pretrain_divided(plan: Plan, out: Path, *, device: str = "cpu", watch: Unwatched | None = None) -> Iterator[Event]:
    """As `pretrain`, in each of the processes that have joined (`isoflop.parallel.processes`); all see the events.

    The first one writes. Whatever ended an earlier sitting (of any process), the next goes on from the last complete
    checkpoint in `out`, also in another layout. Raises `UserError` in all processes alike.
    """
    out = out.resolve()
    mesh, method = layout_of(plan, dist.get_world_size())
    held = ExitStack()
    places = [out, *([plan.machine["checkpoints"]] if "checkpoints" in plan.machine else [])]
    try:
        for place in places:
            in_all(partial(_hold, held, place), only_first=True)
        in_all(lambda: settle(plan, out, divided=True), only_first=True)
        if in_all(lambda: (out / "run.json").exists(), only_first=True):
            yield read_run(out)
            return
        in_all(lambda: read_text(plan), only_first=True, share=False)  # into the cache, from which all then read
        with processor_settings(1), StopRequest() as stop:
            training: Training
            if "diloco" in plan.machine:
                training = Worker(plan, out, settings=diloco_of(plan, mesh.world), device=device)
            else:
                training = Divided(plan, out, groups=make_groups(mesh, device=device), method=method, device=device)
            yield from training.events(stop, watch or Unwatched())
    finally:
        held.close()


def _hold(held: ExitStack, place: Path | str) -> None:
    held.enter_context(alone(place, what="a training"))


def in_all(work: Callable[[], T], *, only_first: bool = False, share: bool = True) -> T:
    """What `work` comes to in the first process, in all; where it raises a `UserError`, all raise it."""
    told: list[Any] = [None, None]
    if dist.get_rank() == 0 or not only_first:
        try:
            result = work()
            told[0] = result if share else None
        except UserError as error:
            told[1] = str(error)
    dist.broadcast_object_list(told, src=0)
    if told[1] is not None:
        raise UserError(told[1])
    return told[0]


@final
class Divided(Training):
    """A training of which this process does a part; the first one writes."""

    def __init__(self, plan: Plan, out: Path, *, groups: Groups, method: Method, device: str) -> None:
        self.groups, self.method = groups, method
        self.process = dist.get_rank()
        self.writes = self.process == 0
        super().__init__(plan, out, threads=1, device=device)
        self.checkpoints = Checkpoints(plan.machine.get("checkpoints", out / CHECKPOINTS))

    def build(self, device: str) -> Trainee:
        """This rank's part, each weight drawn whole and cut; in 32 bits."""
        with weights_on_meta():
            plain, rules = self.plain_model()
        model = parallelize(plain, self.groups, method=self.method, batch=self.plan.batch, device=device)
        seed = self.plan.train.seed
        model.fill(lambda name, size: draw_weight(name, torch.empty(size), rule=rules[name], seed=seed))
        return Trainee(model, self.optimizer_of(model, rules))

    @property
    def model(self) -> Parallelized:
        """The model, as what it is here."""
        assert isinstance(self.trainee.model, Parallelized)
        return self.trainee.model

    def restore(self) -> None:
        """From the newest undamaged checkpoint."""
        found = self.checkpoints.load(self.model, self.trainee.optimizer)  # type: ignore[arg-type]
        if found is None:
            return
        step, rest = found
        self.refuse_other_text(rest["text"])
        trainee = self.trainee
        trainee.step, trainee.seconds = step, rest["seconds"]
        trainee.curve = [CurvePoint(*point) for point in rest["curve"]]
        trainee.trend.load(rest["trend"])
        self.bad_steps.load(rest["bad_steps"])
        self.validation = [(int(at), float(loss)) for at, loss in rest["validation"]]

    def due(self, stop: StopRequest, now: float) -> bool:
        """When any process is asked to stop, and by the first one's clock: all answer alike."""
        late = self.writes and now - self.saved_at > 60 * self.plan.train.checkpoint_minutes
        flags = torch.tensor([stop.asked, late], dtype=torch.int32)
        dist.all_reduce(flags)
        self.stopping = bool(flags[0])  # and not what `asked` says by now: the others have not heard of that
        return bool(flags.any())

    def keep(self) -> None:
        """In a folder of its own; a thread writes it, which the process only waits for when it is to stop."""
        trainee = self.trainee
        rest = {
            "text": self.text.hash,
            "seconds": trainee.seconds,
            "curve": [list(astuple(point)) for point in trainee.curve],
            "trend": trainee.trend.state(),
            "bad_steps": self.bad_steps.state(),
            "validation": [list(one) for one in self.validation],
        }
        self.checkpoints.save(trainee.step, self.model, trainee.optimizer, rest)  # type: ignore[arg-type]
        if self.stopping:
            self.checkpoints.wait()

    def done(self) -> None:
        """The checkpoints go."""
        self.checkpoints.close()
        if self.writes:
            self.checkpoints.remove()

    def validation_loss(self) -> ValidationLoss:
        """As one process has it, from as many sequences at a time as in training."""
        nats = [
            self.model.sequence_losses(_filled(part, self.plan.batch))[: len(part.inputs)]
            for part in self.valid.split(self.plan.batch)
        ]
        return ValidationLoss.of(torch.cat(nats).cpu(), (self.valid.targets != IGNORED).sum(dim=1).cpu())

    def save_to(self, save: Callable[[nn.Module], None]) -> None:
        """The whole model, put together in the first process."""
        weights = self.model.whole_weights()
        if weights is not None:
            model, _ = self.plain_model()
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(weights[name])
            save(model)

    def where(self) -> dict[str, Any]:
        """How many processes, and how they divided the work."""
        return {"processes": self.groups.mesh.world, "mesh": vars(self.groups.mesh), "method": vars(self.method)}

    def note(self) -> str:
        """Nothing: weights are not averaged here."""
        return ""


def _filled(part: Batch, sequences: int) -> Batch:
    """A batch of so many sequences, its first ones repeated; labels of pairs are left out."""
    missing = sequences - len(part.inputs)
    again = [number % len(part.inputs) for number in range(missing)]
    filled = Batch._make(None if one is None else torch.cat((one, one[again])) for one in part)
    return filled._replace(order=None)
