"""What is being trained and how it is doing: the whole state that a checkpoint has to hold."""

from __future__ import annotations

import copy
from dataclasses import astuple
from typing import Any

import torch
from torch import nn

from isoflop.runs import CurvePoint
from isoflop.training.averaging import WeightAverage
from isoflop.training.loop import Optimizer, Step
from isoflop.training.spikes import Fault, LossTrend, sentence


class Trainee:
    """A model, its optimiser, the step it is at, its curve so far, and whether it failed (and why).

    Where there is an `average` of the weights, it is kept up with them. With `minds_spikes` a spike of the loss is a
    failure too, and such a step must not have been applied. Without `minds_trend` a loss that rises is none: where what
    is minimised changes on the way.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, average: WeightAverage | None = None) -> None:
        self.model, self.optimizer, self.average = model, optimizer, average
        self.step = 0
        self.seconds = 0.0
        self.curve: list[CurvePoint] = []
        self.trend, self.minds_spikes, self.minds_trend = LossTrend(), False, True
        self.fault: Fault | None = None
        self.failure: str | None = None

    def refuses(self, step: Step) -> Fault | None:
        """What is wrong with `step`, of which no note was taken yet: it is not to be applied."""
        if not step.is_finite:
            return "not finite"
        return "spike" if self.minds_spikes and self.trend.is_spike(step.loss) else None

    def follow(self, step: Step, *, tokens: int, every: int) -> None:
        """Take note of a step that was just made, with `tokens` per step; every `every`-th step goes on the curve."""
        self.fault = self.refuses(step)
        if self.fault is not None:
            self.failure = sentence(self.fault, step.index)
            return
        self.trend.take(step.loss)
        if self.minds_trend and self.trend.has_diverged:
            self.fault = "divergence"
            self.failure = sentence(self.fault, step.index)
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
            "trend": self.trend.state(),
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
        self.fault, self.failure = None, state["failure"]
        self.trend.load(state["trend"])
        torch.set_rng_state(state["rng"])
        if self.average is not None:
            self.average.load(state["average"])
