"""The training loop: a generator, so that whoever trains writes plain code around each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from isoflop.evaluation import batch_loss, loss_parts
from isoflop.models import IGNORED, Batch
from isoflop.parallel import Parallelized


class Batches(Protocol):
    """What the loop needs of data: the batch of a step."""

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        ...


@dataclass(frozen=True)
class SeededBatches:
    """Batches that set torch's random numbers for the step, so that dropout too is a function of seed and step, and of
    the process where several share a batch's sequences."""

    batches: Batches
    seed: int
    process: int = 0

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        state = np.random.SeedSequence([self.seed, step, self.process]).generate_state(2, np.uint32)
        torch.manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)
        return self.batches.at(step)


class Optimizer(Protocol):
    """What the loop needs of an optimiser: torch's own, or several that act as one."""

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...

    def zero_grad(self) -> None: ...

    def step(self) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


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


class Learner(Protocol):
    """What the loop needs of a model: the gradients of a batch's loss, and to clip them."""

    def gradients(self, batch: Batch) -> Tensor | float:
        """Add the gradients of the batch's loss; returns that loss."""
        ...

    def clip(self, most: float) -> Tensor | float:
        """Clip the gradients to the norm `most`; returns the norm before."""
        ...


@dataclass(frozen=True)
class OneDevice:
    """A model on one device; a batch passes through it in `accumulate` parts."""

    model: nn.Module
    accumulate: int

    def gradients(self, batch: Batch) -> Tensor:
        """Add the gradients of the batch's loss; returns that loss."""
        return backward(self.model, batch, parts=self.accumulate)

    def clip(self, most: float) -> Tensor:
        """Clip the gradients to the norm `most`; returns the norm before."""
        return nn.utils.clip_grad_norm_(self.model.parameters(), most)


def train_steps(
    model: nn.Module,
    batches: Batches,
    *,
    optimizer: Any,
    steps: range,
    lr_factor: Callable[[int], float],
    clip: float = 1.0,
    accumulate: int = 1,
    accept: Callable[[Step], bool] = lambda step: step.is_finite,
) -> Iterator[Step]:
    """Train over `steps`, yielding after each; a step that `accept` refuses is yielded, not applied.

    `optimizer` is an `Optimizer`; with `accumulate` > 1 a batch passes through the model in so many parts. A
    `Parallelized` model brings its own way of doing both halves of a step.
    """
    learner: Learner = model if isinstance(model, Parallelized) else OneDevice(model, accumulate)
    for index in steps:
        factor = lr_factor(index)
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        optimizer.zero_grad()
        loss = learner.gradients(batches.at(index))
        norm = learner.clip(clip)
        step = Step(index, float(loss), float(norm), factor)
        if accept(step):
            optimizer.step()
        yield step


def backward(model: nn.Module, batch: Batch, *, parts: int) -> Tensor:
    """Add the gradient of the batch's loss, computed in `parts` parts, and return the loss.

    Each part weighs by its share of the batch's predicted tokens, and of its sequences where they have labels, so that
    loss and gradient are those of the batch in one piece.
    """
    if parts == 1:
        loss = batch_loss(model, batch)
        loss.backward()
        return loss.detach()
    predicted, sequences = (batch.targets != IGNORED).sum(), len(batch.inputs)
    total = batch.inputs.new_zeros((), dtype=torch.float32)
    for part in batch.split(math.ceil(sequences / parts)):
        loss, order_loss = loss_parts(model, part)
        loss = loss * ((part.targets != IGNORED).sum() / predicted)
        if order_loss is not None:
            loss = loss + order_loss * (len(part.inputs) / sequences)
        loss.backward()
        total = total + loss.detach()
    return total
