"""What is being trained and how it is doing: the whole state that a checkpoint has to hold."""

from __future__ import annotations

import copy
import math
from dataclasses import astuple
from typing import Any

import torch
from torch import nn

from isoflop.runs import CurvePoint
from isoflop.training.averaging import WeightAverage
from isoflop.training.loop import Optimizer, Step

SPIKE_NATS = 1.0
"""A smoothed loss this far above its best is divergence: the run's final loss would say nothing of its size."""
SMOOTHING = 0.95


class Trainee:
    """A model, its optimiser, the step it is at, its curve so far, and whether it failed (and why).

    Where there is an `average` of the weights, it is kept up with them.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, average: WeightAverage | None = None) -> None:
        self.model, self.optimizer, self.average = model, optimizer, average
        self.step = 0
        self.seconds = 0.0
        self.curve: list[CurvePoint] = []
        self.smooth = self.best = math.inf
        self.failure: str | None = None

    def follow(self, step: Step, *, tokens: int, every: int) -> None:
        """Take note of a step that was just made, with `tokens` per step; every `every`-th step goes on the curve."""
        if not step.is_finite:
            self.failure = f"the training loss or its gradient was not finite at step {step.index}"
            return
        self.smooth = step.loss if self.step == 0 else SMOOTHING * self.smooth + (1 - SMOOTHING) * step.loss
        self.best = min(self.best, self.smooth)
        if self.smooth > self.best + SPIKE_NATS:
            self.failure = f"the training loss rose by more than {SPIKE_NATS} nat per token at step {step.index}"
        self.step = step.index + 1
        if self.average is not None:
            self.average.update(self.step)
        if step.index % every == 0:
            rate = max(group["lr"] for group in self.optimizer.param_groups)
            point = CurvePoint(self.step, self.step * tokens, step.loss, rate, step.grad_norm, self.seconds)
            self.curve.append(point)

    def state(self) -> dict[str, Any]:
        """A deep copy of the state, of types that `torch.load(weights_only=True)` accepts."""
        return {
            "model": copy.deepcopy(self.model.state_dict()),
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "step": self.step,
            "seconds": self.seconds,
            "curve": [list(astuple(point)) for point in self.curve],
            "smooth": self.smooth,
            "best": self.best,
            "failure": self.failure,
            "rng": torch.get_rng_state(),
            "average": None if self.average is None else self.average.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go back to `state`, which stays usable afterwards."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.step, self.seconds = state["step"], state["seconds"]
        self.curve = [CurvePoint(*point) for point in state["curve"]]
        self.smooth, self.best, self.failure = state["smooth"], state["best"], state["failure"]
        torch.set_rng_state(state["rng"])
        if self.average is not None:
            self.average.load(state["average"])
