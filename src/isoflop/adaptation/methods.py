"""What of a model is trained: all of it, its head alone, or matrices of low rank beside its own.

D, E widths of a layer's input and output, r rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.adaptation.task import TaskModel
from isoflop.errors import UserError

TARGETS = ("qkv", "out", "up", "down")
"""Layers of a block by their last name: attention's two, the feed-forward's two."""


@dataclass(frozen=True)
class Full:
    """Every weight that the labels depend on."""

    name = "full"
    learning_rate = 2e-5

    def prepare(self, model: TaskModel, *, seed: int) -> None:
        """Make `model` ready to be trained."""
        del seed
        for weight in model.unread():
            weight.requires_grad_(False)

    def finish(self, model: TaskModel) -> None:
        """Make an ordinary model of it again."""
        _train_all(model)


@dataclass(frozen=True)
class HeadOnly:
    """The new head; the pretrained model stays as it is."""

    name = "head"
    learning_rate = 1e-3

    def prepare(self, model: TaskModel, *, seed: int) -> None:
        """Make `model` ready to be trained."""
        del seed
        model.body.requires_grad_(False)

    def finish(self, model: TaskModel) -> None:
        """Make an ordinary model of it again."""
        _train_all(model)


@dataclass(frozen=True)
class Lora:
    """W + (α/r)·B·A with A (r, D) and B (E, r) trained and W not (Hu et al. 2021, arXiv 2106.09685, section 4.1).

    Here α = 2r. `targets` are the layers that get the pair; the head is trained too.
    """

    rank: int = 8
    targets: tuple[str, ...] = ("qkv", "out")
    name = "lora"
    learning_rate = 5e-4

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UserError(f"The rank of LoRA must be at least 1, not {self.rank}.")
        strange = next((name for name in self.targets if name not in TARGETS), None)
        if strange is not None or not self.targets:
            raise UserError(f"LoRA has no layer {strange or 'named'}: choose its targets from {', '.join(TARGETS)}.")

    def prepare(self, model: TaskModel, *, seed: int) -> None:
        """Make `model` ready to be trained."""
        model.body.requires_grad_(False)
        generator = torch.Generator().manual_seed(seed)
        for path, layer in list(model.body.named_modules()):
            if isinstance(layer, nn.Linear) and ".blocks." in f".{path}" and path.rpartition(".")[2] in self.targets:
                _replace(model.body, path, LowRank(layer, self.rank, generator))

    def finish(self, model: TaskModel) -> None:
        """Add the pairs into the weights that they stand beside."""
        for path, layer in list(model.body.named_modules()):
            if isinstance(layer, LowRank):
                _replace(model.body, path, layer.merged())
        _train_all(model)


Method = Full | HeadOnly | Lora


@final
class LowRank(nn.Module):
    """A linear layer that stays, and the product of two thin matrices beside it; B starts at zero, so at first the
    model is what it was."""

    def __init__(self, original: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.original, self.scale = original, 2.0
        self.down_rD = nn.Parameter(torch.empty(rank, original.in_features))
        self.up_Er = nn.Parameter(torch.zeros(original.out_features, rank))
        nn.init.kaiming_uniform_(self.down_rD, a=math.sqrt(5), generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.original(x) + self.scale * F.linear(F.linear(x, self.down_rD), self.up_Er)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The layer with the product added to its weight."""
        self.original.weight += self.scale * (self.up_Er @ self.down_rD)
        return self.original


def method_named(name: str, *, rank: int | None = None, targets: tuple[str, ...] = ()) -> Method:
    """The method as a value. Raises `UserError` for an unknown one, and for settings that it does not have."""
    if name == "lora":
        usual = Lora()
        return Lora(usual.rank if rank is None else rank, targets or usual.targets)
    if name not in ("full", "head"):
        raise UserError(f"No method is called {name!r}: choose full, head or lora.")
    if rank is not None or targets:
        raise UserError(f"A rank and targets are LoRA's, not those of {name!r}: add --method lora.")
    return Full() if name == "full" else HeadOnly()


def _train_all(model: TaskModel) -> None:
    model.requires_grad_(True)


def _replace(model: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, layer)
