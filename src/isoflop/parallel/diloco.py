"""DiLoCo: workers that train on their own and only now and then agree (Douillard et al. 2023, arXiv 2311.08105).

Each worker has the whole model and an optimiser of its own, and takes `every` steps on its share of the batches. Then
the workers average how far each has come from the weights that they last shared, and these take one step of Nesterov's
SGD in that direction (their algorithm 1). Data-parallel training averages a gradient at every step; this averages as
many numbers once in `every` steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from isoflop.errors import UserError


@dataclass(frozen=True)
class DiLoCo:
    """Steps between two meetings, and the outer optimiser's rate and momentum; the paper's values."""

    every: int = 500
    lr: float = 0.7
    momentum: float = 0.9

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UserError(f"machine.diloco.every must be at least 1, not {self.every}.")
        if not self.lr > 0 or not 0 <= self.momentum < 1:
            raise UserError(
                f"machine.diloco needs lr above 0 and momentum from 0 to below 1, not {self.lr} and {self.momentum}."
            )


class OuterStep:
    """The weights that the workers shared last, and the outer optimiser's momentum; the same on every worker.

    With shared weights w and a worker's own w_k, Δ = mean over k of (w - w_k) is the outer gradient, and
    v ← μ·v + Δ, w ← w - lr·(Δ + μ·v). So lr = 1 without momentum sets w to the mean of the w_k.
    `numbers_sent` counts what this worker has put into all-reduces.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], settings: DiLoCo) -> None:
        self.own = list(parameters)
        self.shared = [parameter.detach().clone() for parameter in self.own]
        self.optimizer = torch.optim.SGD(
            self.shared, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0
        )
        self.meetings = self.numbers_sent = 0

    @torch.no_grad()
    def step(self) -> None:
        """Meet: one all-reduce, after which all workers have the same weights. Every worker must call this."""
        pairs = zip(self.shared, self.own, strict=True)
        flat = torch.cat([(shared - own).reshape(-1) for shared, own in pairs])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        self.meetings += 1
        self.numbers_sent += flat.numel()
        for shared, part in zip(self.shared, flat.split([one.numel() for one in self.shared]), strict=True):
            shared.grad = part.view_as(shared)
        self.optimizer.step()
        for shared, own in zip(self.shared, self.own, strict=True):
            own.copy_(shared)

    def state(self) -> dict[str, Any]:
        """What the next meetings depend on."""
        return {"shared": self.shared, "optimizer": self.optimizer.state_dict()}

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Go back to `state`; the workers' own weights are not part of it."""
        for shared, saved in zip(self.shared, state["shared"], strict=True):
            shared.copy_(saved)
        self.optimizer.load_state_dict(state["optimizer"])
