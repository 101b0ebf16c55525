"""What a task trains: a pretrained model with what the task puts behind it, and batches of its examples."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from isoflop.models import Batch, Model
from isoflop.models.encoder import BEHIND_THE_STATES


class TaskModel(nn.Module):
    """Abstract: a pretrained model, `body`, with what a task puts behind its states."""

    body: Model
    reads: tuple[str, ...] = ()
    """Parts behind the pretrained model's states that the task does read."""
    divides_itself = False
    """Whether its loss computes a batch in the recipe's parts itself, since examples of a batch are not independent."""

    def unread(self) -> list[nn.Parameter]:
        """Weights of the pretrained model that nothing of the task depends on: its own head, and what stands before
        that. A task that reads the pretrained head has none."""
        parts = [getattr(self.body, name, None) for name in BEHIND_THE_STATES if name not in self.reads]
        weights = [weight for part in parts if part is not None for weight in part.parameters()]
        return [weight for weight in weights if weight is not self.body.embedding.weight]


class EpochBatches(Protocol):
    """Batches of the training part; `at` is a function of the step alone, so that any step can be next."""

    @property
    def per_epoch(self) -> int:
        """Steps in which every example is seen once."""
        ...

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0, on the CPU."""
        ...
