"""Which weights are near the answer: rates that fall with depth, and layers that are trained later."""

from __future__ import annotations

import re
from collections.abc import Collection

from torch import nn

from isoflop.adaptation.task_model import TaskModel

BLOCK = re.compile(r"^body\.(?:\w+coder\.)?blocks\.(\d+)\.")
IN_FRONT = re.compile(r"^body\.(?:\w+coder\.)?(?:embedding|position_table|segment_table|embedding_norm|relative)\b")


def depth_of(name: str, layers: int) -> int:
    """Layers between a weight called `name` and the answer: 0 for what stands behind the last block (and what a method
    adds before the first), 1 for the last of `layers` blocks, `layers` + 1 for the embeddings."""
    block = BLOCK.search(name)
    if block:
        return layers - int(block[1])
    return layers + 1 if IN_FRONT.match(name) else 0


def train_from_above(model: TaskModel, trained: Collection[str], *, blocks: int) -> None:
    """Of the weights named `trained` train only those of so many `blocks` from the top and what stands behind them; the
    embeddings come with the last block (gradual unfreezing: Howard and Ruder 2018, arXiv 1801.06146, section 3.3)."""
    layers = model.body.shape.layers
    for name, weight in model.named_parameters():
        if name in trained:
            weight.requires_grad_(min(depth_of(name, layers), layers) <= blocks)


def trained_names(model: nn.Module) -> frozenset[str]:
    """Names of the weights that ask for a gradient."""
    return frozenset(name for name, weight in model.named_parameters() if weight.requires_grad)
