"""Early stopping: the weights of the epoch that was best on dev are kept, and training ends where none is better."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn


class BestEpoch:
    """The best epoch so far by what dev says (more is better; what is not a number is never best), with its weights.

    Only weights named in `trained` are kept: the others do not change.
    """

    def __init__(self, trained: Collection[str]) -> None:
        self.trained = trained
        self.epoch, self.worth = 0, -math.inf
        self.weights: dict[str, Tensor] = {}
        self.last = 0

    def take(self, model: nn.Module, epoch: int, worth: float) -> None:
        """Take note of an epoch that has ended."""
        self.last = epoch
        if worth > self.worth:
            self.epoch, self.worth = epoch, worth
            named = model.named_parameters()
            self.weights = {name: weight.detach().clone() for name, weight in named if name in self.trained}

    def is_over(self, patience: int) -> bool:
        """Whether the last `patience` epochs were no better."""
        return self.last - self.epoch >= patience

    def restore(self, model: nn.Module) -> None:
        """Give `model` the best epoch's weights back, where there is one."""
        named = dict(model.named_parameters())
        with torch.no_grad():
            for name, weight in self.weights.items():
                named[name].copy_(weight)

    def notes(self, epochs: int) -> tuple[str, ...]:
        """What to say of it at the end of a training of so many `epochs`."""
        if not self.epoch:
            return ()
        ended = f"Training ended after epoch {self.last} of {epochs}. " if self.last < epochs else ""
        return (f"{ended}Dev was best after epoch {self.epoch}, whose weights are kept.",)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"epoch": self.epoch, "worth": self.worth, "last": self.last, "weights": self.weights}

    def load(self, state: dict[str, Any]) -> None:
        """Go back to `state`."""
        self.epoch, self.worth, self.last = state["epoch"], state["worth"], state["last"]
        self.weights = dict(state["weights"])
