"""The training loop: a generator, so that whoever trains writes plain code around each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from isoflop.evaluation import batch_loss
from isoflop.models import Batch


class Batches(Protocol):
    """What the loop needs of data: the batch of a step."""

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        ...


@dataclass(frozen=True)
class Step:
    """What one optimiser step did: training loss in nats per token before the update, gradient norm before clipping."""

    index: int
    loss: float
    grad_norm: float
    lr_factor: float

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def train_steps(
    model: nn.Module,
    batches: Batches,
    *,
    optimizer: torch.optim.Optimizer,
    steps: range,
    lr_factor: Callable[[int], float],
    clip: float = 1.0,
) -> Iterator[Step]:
    """Train over `steps`, yielding after each; a step whose loss or gradient is not finite is yielded, not applied."""
    parameters = list(model.parameters())
    for index in steps:
        factor = lr_factor(index)
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        loss = batch_loss(model, batches.at(index))
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, clip)
        step = Step(index, loss.item(), norm.item(), factor)
        if step.is_finite:
            optimizer.step()
        yield step
