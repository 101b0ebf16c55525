"""Muon for weights that hold several matrices, and two optimisers that step as one."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from isoflop.models import Parametrization
from isoflop.models.parametrization import Size
from isoflop.shapes import ModelShape

Piece = tuple[nn.Parameter, slice]


def pieces(name: str, shape: ModelShape) -> list[slice]:
    """The rows of each matrix that the hidden weight `name` holds."""
    queries, keys = shape.attention_width, shape.kv_width
    if name.endswith(".qkv.weight"):
        sizes = [queries, keys, keys]
    elif name.endswith(".kv.weight"):
        sizes = [keys, keys]
    elif name.endswith("feed_forward.up.weight") and shape.matrices_per_feed_forward == 3:
        sizes = [shape.ffn, shape.ffn]
    else:
        return [slice(None)]
    ends = [sum(sizes[: count + 1]) for count in range(len(sizes))]
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def muon_factor(table: Parametrization, size: Size, rows: int, columns: int) -> float:
    """What Muon's rate has beyond Adam's on a hidden matrix.

    An update should move a layer's output by as much at any width, so its spectral norm should go as √(rows/columns)
    (Yang et al. 2023, arXiv 2310.17813, condition 1). Entries of size η make a norm of η·√(rows·columns) with Adam,
    whose updates are nearly of rank one, hence μP's η/columns; with Muon, whose updates are orthogonal, only
    η·√max(rows, columns). So Muon takes back √ of what the table's rate loses to the width; nothing where, as in SP, it
    loses nothing.
    """
    rule = table.rules["hidden"]
    in_width = rule.lr.width + rule.multiplier.width
    in_fan_in = rule.lr.fan_in + rule.multiplier.fan_in
    return float(size.width_ratio ** (-in_width / 2) * min(rows, columns) ** (-in_fan_in / 2))


class SplitMuon:
    """`torch.optim.Muon` over pieces of weights, each of which shares its weight's memory and part of its gradient."""

    def __init__(self, groups: list[tuple[list[Piece], dict[str, Any]]], *, momentum: float) -> None:
        self.members = [member for members, _ in groups for member in members]
        whole = [{**group, "params": [nn.Parameter(w.data[rows]) for w, rows in members]} for members, group in groups]
        self.inner = torch.optim.Muon(whole, momentum=momentum, nesterov=True, adjust_lr_fn="match_rms_adamw")
        self.parts = [part for group in whole for part in group["params"]]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.inner.param_groups

    def zero_grad(self) -> None:
        """Forget the weights' gradients."""
        for weight, _ in self.members:
            weight.grad = None

    def step(self) -> None:
        """Update every piece; one whose weight has no gradient stays."""
        for part, (weight, rows) in zip(self.parts, self.members, strict=True):
            part.grad = None if weight.grad is None else weight.grad[rows]
        self.inner.step()

    def state_dict(self) -> dict[str, Any]:
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state)


class Together:
    """Optimisers of different weights that act as one."""

    def __init__(self, parts: tuple[SplitMuon | torch.optim.Optimizer, ...]) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        """One step of each."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)
