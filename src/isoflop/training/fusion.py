"""Runs of one shape trained together as one batched model: a sweep of small models for a fraction of its runs' time.

R runs. Small models spend their time on starting operations, not on arithmetic; R of them with stacked weights start
as many as one. Every run keeps its own model, optimiser, data order and record: its weights are rows of the stack,
so that only the pass through the model is shared, and its results are those of a run alone within rounding.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.errors import UserError
from isoflop.evaluation.cross_entropy import Head, mean_cross_entropy
from isoflop.evaluation.loss import precision_of
from isoflop.models import Batch
from isoflop.runs import Run
from isoflop.training.loop import Batches, Optimizer, Step
from isoflop.training.processor import processor_settings
from isoflop.training.trunk import TrunkJob, TrunkTraining, finished_run_of

ALIKE = ("shape", "base", "milestones", "batch", "parametrization", "schedule", "valid_sequences", "data", "device")
"""What fused jobs must have in common; seed, rate, weight decay and clip may differ."""


@dataclass
class Member:
    """One run of the stack: its model, its optimiser, its data, its clip, and whether it still trains."""

    model: nn.Module
    optimizer: Optimizer
    batches: Batches
    clip: float = 1.0
    failed: bool = False


class Stack:
    """R models of one shape as one: their weights become rows of (R, …) tensors, and stay the models' own.

    Only layers with weights know of R; for all others, R models with B sequences each are one with R·B. Raises
    `UserError` where a weight belongs to something else (a table of positions). `model` may be given a precision.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self.rows = [dict(model.named_parameters()) for model in models]
        self.model: Any = copy.deepcopy(models[0])
        wholes = {name: self._stacked(name) for name in self.rows[0]}
        own = {id(weight): name for name, weight in self.model.named_parameters()}
        for path, layer in list(self.model.named_modules()):
            stacked = _STACKED.get(type(layer))
            is_read_bare = isinstance(layer, nn.Embedding) and path != "embedding"
            if stacked is not None and not is_read_bare and next(layer.parameters(), None) is not None:
                self.model.set_submodule(path, stacked(layer, {id(w): wholes[own[id(w)]] for w in layer.parameters()}))
        self.weights = dict(self.model.named_parameters())
        other = [name for name, weight in self.weights.items() if weight is not wholes[name]]
        if other:
            raise UserError(f"Models with {other[0]} can't train together yet: train them one by one.")

    def _stacked(self, name: str) -> nn.Parameter:
        whole = torch.stack([row[name].detach() for row in self.rows])
        for row, part in zip(self.rows, whole.unbind(), strict=True):
            row[name].data = part
        return nn.Parameter(whole)

    def backward(self, batches: Sequence[Batch]) -> list[Tensor]:
        """The loss of each model on its batch, whose gradients come to lie in the models' weights."""
        for whole in self.weights.values():
            whole.grad = None
        losses = self._losses(batches)
        torch.stack(losses).sum().backward()
        for name, whole in self.weights.items():
            assert whole.grad is not None
            for row, slope in zip(self.rows, whole.grad.unbind(), strict=True):
                row[name].grad = slope
        return losses

    def _losses(self, batches: Sequence[Batch]) -> list[Tensor]:
        count, device = len(batches), batches[0].inputs.device
        whole = Batch._make(None if parts[0] is None else torch.cat(parts) for parts in zip(*batches, strict=True))
        with precision_of(self.model, device):
            features = self.model.features(whole)
            dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else features.dtype
            weights, bias = self.model.head.weight.unbind(), self.model.head.bias
            biases = [None] * count if bias is None else bias.unbind()
            return [
                mean_cross_entropy(x.flatten(0, 1), Head(weight, bias, dtype), batch.targets.flatten())
                for x, weight, bias, batch in zip(features.chunk(count), weights, biases, batches, strict=True)
            ]


class _StackedLinear(nn.Module):
    """R linear layers: (R·B, …, D) to (R·B, …, O)."""

    def __init__(self, layer: nn.Linear, wholes: dict[int, nn.Parameter]) -> None:
        super().__init__()
        self.weight = wholes[id(layer.weight)]
        self.bias = None if layer.bias is None else wholes[id(layer.bias)]

    def forward(self, x: Tensor) -> Tensor:
        count, outputs, inputs = self.weight.shape
        x_RND, w_RDO = x.reshape(count, -1, inputs), self.weight.transpose(1, 2)
        y_RNO = torch.bmm(x_RND, w_RDO) if self.bias is None else torch.baddbmm(self.bias[:, None], x_RND, w_RDO)
        return y_RNO.view(*x.shape[:-1], outputs)


class _StackedEmbedding(nn.Module):
    """R tables of tokens: numbers (R·B, T) to vectors (R·B, T, D)."""

    def __init__(self, layer: nn.Embedding, wholes: dict[int, nn.Parameter]) -> None:
        super().__init__()
        self.weight = wholes[id(layer.weight)]

    def forward(self, tokens: Tensor) -> Tensor:
        count, vocab, _ = self.weight.shape
        first = torch.arange(count, device=tokens.device).repeat_interleave(len(tokens) // count) * vocab
        return F.embedding(tokens + first[:, None], self.weight.flatten(0, 1))


class _StackedNorm(nn.Module):
    """R norms with gains, and biases where they have any."""

    def __init__(self, layer: nn.RMSNorm | nn.LayerNorm, wholes: dict[int, nn.Parameter]) -> None:
        super().__init__()
        self.size, self.eps, self.centred = list(layer.normalized_shape), layer.eps, isinstance(layer, nn.LayerNorm)
        bias = getattr(layer, "bias", None)
        self.weight = wholes[id(layer.weight)]
        self.bias = None if bias is None else wholes[id(bias)]

    def forward(self, x: Tensor) -> Tensor:
        normed = (
            F.layer_norm(x, self.size, eps=self.eps or 1e-5) if self.centred else F.rms_norm(x, self.size, eps=self.eps)
        )
        scaled = normed.reshape(len(self.weight), -1, *self.size) * self.weight[:, None]
        return (scaled if self.bias is None else scaled + self.bias[:, None]).view(x.shape)


_STACKED: dict[type[nn.Module], Callable[..., nn.Module]] = {
    nn.Linear: _StackedLinear,
    nn.Embedding: _StackedEmbedding,
    nn.RMSNorm: _StackedNorm,
    nn.LayerNorm: _StackedNorm,
}


def fused_steps(
    members: Sequence[Member], stack: Stack, *, steps: range, lr_factor: Callable[[int], float]
) -> Iterator[list[Step | None]]:
    """Train all members over `steps`, yielding each one's step (None once it has failed).

    As with `train_steps`, a step whose loss or gradient is not finite is yielded, not applied; what goes on in one
    member never reaches another. `stack` is of the members' models.
    """
    for index in steps:
        factor = lr_factor(index)
        losses = stack.backward([member.batches.at(index) for member in members])
        yield [
            None if member.failed else _update(member, index, loss, factor)
            for member, loss in zip(members, losses, strict=True)
        ]


def _update(member: Member, index: int, loss: Tensor, factor: float) -> Step:
    for group in member.optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    norm = nn.utils.clip_grad_norm_(member.model.parameters(), member.clip)
    step = Step(index, loss.item(), norm.item(), factor)
    if step.is_finite:
        member.optimizer.step()
    return step


def train_fused(jobs: Sequence[TrunkJob]) -> Iterator[Run]:
    """Train `jobs` together, yielding each measured `Run` once its record is on disk: what `train_trunk` gives of each.

    They may differ in seed, learning rate, weight decay and clip. Finished runs are read; where one is missing, all
    start from the beginning (no checkpoints: these are short runs). Raises `UserError` for jobs that are not alike,
    for dropout, and where the disk is full or the text too short.
    """
    _refuse_what_cannot_be_fused(jobs)
    done = [[finished_run_of(job, index) for index in range(len(job.milestones))] for job in jobs]
    if all(all(runs) for runs in done):
        yield from (run for runs in done for run in runs if run is not None)
        return
    with processor_settings(jobs[0].threads):
        yield from _Sweep(jobs).runs()


class _Sweep:
    """The walk of all jobs along their trunks, in step."""

    def __init__(self, jobs: Sequence[TrunkJob]) -> None:
        self.job = jobs[0]
        self.walks = [TrunkTraining(job) for job in jobs]
        self.members = [
            Member(walk.trainee.model, walk.trainee.optimizer, walk.batches, walk.job.optimizer.clip)
            for walk in self.walks
        ]
        self.stack = Stack([member.model for member in self.members])

    def runs(self) -> Iterator[Run]:
        schedule, at = self.job.schedule, 0
        for index, (branch, milestone) in enumerate(zip(self.job.branches, self.job.milestones, strict=True)):
            self._phase(range(at, branch), schedule.trunk)
            at, steps = branch, schedule.cooldown_steps(milestone)
            trunks = [walk.trainee.state() for walk in self.walks]
            self._phase(range(branch, branch + steps), _cooldown(schedule, branch, steps))
            for walk, trunk in zip(self.walks, trunks, strict=True):
                yield walk.record(index)
                walk.trainee.load(trunk)

    def _phase(self, steps: range, factor: Callable[[int], float]) -> None:
        for member, walk in zip(self.members, self.walks, strict=True):
            member.failed = walk.trainee.failure is not None
        before = time.perf_counter()
        for made in fused_steps(self.members, self.stack, steps=steps, lr_factor=factor):
            now = time.perf_counter()
            share, before = (now - before) / len(self.walks), now
            for member, walk, step in zip(self.members, self.walks, made, strict=True):
                if step is None:
                    continue
                walk.trainee.seconds += share
                walk.trainee.follow(step, tokens=self.job.batch_tokens, every=walk.every)
                member.failed = walk.trainee.failure is not None


def _cooldown(schedule: Any, branch: int, steps: int) -> Callable[[int], float]:
    return lambda step: schedule.cooldown(step - branch, steps)


def _refuse_what_cannot_be_fused(jobs: Sequence[TrunkJob]) -> None:
    if not jobs:
        raise UserError("There is no job to train: give at least one.")
    first = jobs[0]
    for name in ALIKE:
        if any(getattr(job, name) != getattr(first, name) for job in jobs):
            raise UserError(f"Runs that train together must have the same {name}: train those that differ apart.")
    if len({(job.out, job.trunk) for job in jobs}) < len(jobs):
        raise UserError("Two of the jobs to train together have the same folder: give each its own name.")
    if first.shape.dropout:
        raise UserError("Runs with dropout can't train together: set dropout to 0, or train them one by one.")
