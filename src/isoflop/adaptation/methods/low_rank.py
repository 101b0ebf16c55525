"""LoRA and DoRA: a product of two thin matrices beside a layer's own, added into it at the end.

D, E widths of a layer's input and output, r rank, S layers that stand in one matrix (query, key and value).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.errors import UserError
from isoflop.models import Model
from isoflop.shapes import ModelShape

TARGETS = ("qkv", "out", "up", "down")
"""Layers of a block: attention's queries, keys and values, its output; the feed-forward's two."""
PLACES = {"qkv": "qkv", "q": "qkv", "kv": "qkv", "out": "out", "up": "up", "down": "down"}
"""The target that a layer of a block belongs to, by its last name."""
DOUBLED = 2.0
"""α/r: α is twice the rank."""


@dataclass(frozen=True)
class Lora:
    """W + (α/r)·B·A with A (r, D) and B (E, r) trained and W not (Hu et al. 2021, arXiv 2106.09685, section 4.1).

    Here α = 2r. `targets` are the layers that get the pair; queries, keys and values get one each, and so do gate and
    value of a gated feed-forward. With `decomposed` it is DoRA (Liu et al. 2024, arXiv 2402.09353, equations 5 and 11):
    m·(W + (α/r)·B·A)/‖W + (α/r)·B·A‖ with a trained magnitude m of each row (E,); the norm is held constant in the
    gradient.
    """

    rank: int = 8
    targets: tuple[str, ...] = ("qkv", "out")
    decomposed: bool = False
    learning_rate = 5e-4
    places = 0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UserError(f"The rank of LoRA must be at least 1, not {self.rank}.")
        strange = next((name for name in self.targets if name not in TARGETS), None)
        if strange is not None or not self.targets:
            raise UserError(f"LoRA has no layer {strange or 'named'}: choose its targets from {', '.join(TARGETS)}.")

    @property
    def name(self) -> str:
        return "dora" if self.decomposed else "lora"

    def prepare(self, body: Model, *, seed: int) -> None:
        """Put the pairs beside the layers; nothing else of `body` is trained."""
        body.requires_grad_(False)
        generator = torch.Generator().manual_seed(seed)
        for path, layer in list(body.named_modules()):
            inside, _, last = path.rpartition(".")
            if isinstance(layer, nn.Linear) and "blocks." in inside and PLACES.get(last) in self.targets:
                pair = LowRank(layer, parts_of(last, body.shape), rank=self.rank, generator=generator)
                if self.decomposed:
                    pair.split_off_magnitude()
                setattr(body.get_submodule(inside), last, pair)

    def finish(self, body: Model) -> None:
        """Add the pairs into the weights that they stand beside."""
        for path, layer in list(body.named_modules()):
            if isinstance(layer, LowRank):
                inside, _, last = path.rpartition(".")
                setattr(body.get_submodule(inside), last, layer.merged())


def parts_of(last: str, shape: ModelShape) -> tuple[int, ...]:
    """Widths of the layers that stand side by side in the one called `last`."""
    widths = {
        "qkv": (shape.attention_width, shape.kv_width, shape.kv_width),
        "q": (shape.attention_width,),
        "kv": (shape.kv_width, shape.kv_width),
        "up": (shape.ffn,) * (1 + shape.is_gated),
    }
    return widths.get(last, (shape.width,))


@final
class LowRank(nn.Module):
    """A linear layer that stays, and pairs of thin matrices beside it; B starts at zero, so at first the model is what
    it was. `down_RD` holds the A of each part (R = S·r), `up_Er` the B."""

    def __init__(self, original: nn.Linear, parts: tuple[int, ...], *, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.original, self.parts = original, parts
        self.down_RD = nn.Parameter(torch.empty(rank * len(parts), original.in_features))
        self.up_Er = nn.Parameter(torch.zeros(original.out_features, rank))
        self.magnitude_E: nn.Parameter | None = None
        nn.init.kaiming_uniform_(self.down_RD, a=math.sqrt(5), generator=generator)

    @torch.no_grad()
    def split_off_magnitude(self) -> None:
        """Train the length of each row of the weight apart from its direction (DoRA)."""
        self.magnitude_E = nn.Parameter(self.original.weight.norm(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        up_ER = torch.block_diag(*self.up_Er.split(self.parts))
        added = DOUBLED * F.linear(F.linear(x, self.down_RD), up_ER)
        if self.magnitude_E is None:
            return self.original(x) + added
        y = (F.linear(x, self.original.weight) + added) * (self.magnitude_E / self._norms())
        return y if self.original.bias is None else y + self.original.bias

    @torch.no_grad()
    def _norms(self) -> Tensor:
        with torch.autocast(self.up_Er.device.type, enabled=False):
            return self._sum().norm(dim=1)

    def _sum(self) -> Tensor:
        return self.original.weight + DOUBLED * (torch.block_diag(*self.up_Er.split(self.parts)) @ self.down_RD)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The layer with the product in its weight."""
        scale = 1.0 if self.magnitude_E is None else (self.magnitude_E / self._norms())[:, None]
        self.original.weight.copy_(self._sum() * scale)
        return self.original
