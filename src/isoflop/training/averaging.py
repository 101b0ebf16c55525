"""An exponential moving average of the weights: often a better model than the last weights, for one multiply a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from isoflop.errors import UserError


class WeightAverage:
    """Averages of a model's parameters: ā ← d·ā + (1 - d)·w after each step, d = min(`decay`, (1 + n)/(10 + n)) at the
    n-th, so that the first weights, which are noise, are soon forgotten."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise UserError(f"train.ema must be between 0 and 1, not {decay}.")
        self.decay, self.model = decay, model
        self.values = [parameter.detach().clone() for parameter in model.parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step number `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, list(self.model.parameters()), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averages for weights inside, and its own again afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, value in zip(self.model.parameters(), self.values, strict=True):
            kept = parameter.clone()
            parameter.copy_(value)
            value.copy_(kept)

    def state(self) -> list[Tensor]:
        """A copy of the averages."""
        return [value.clone() for value in self.values]

    @torch.no_grad()
    def load(self, state: list[Tensor]) -> None:
        """Go back to `state`."""
        for value, saved in zip(self.values, state, strict=True):
            value.copy_(saved)
