"""A pretrained model made to read longer texts: each token sees only those near it, or those and some far ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch

from isoflop.errors import UserError
from isoflop.models import Model
from isoflop.models.build import STACKS
from isoflop.models.storage import logit_scale

Pattern = Literal["window", "strided"]
PATTERNS: tuple[Pattern, ...] = ("window", "strided")
LONGER = 4
"""A longer context without being asked for: so many of the model's own."""


def with_windows(body: Model, context: int, pattern: Pattern = "window") -> Model:
    """A model with the weights of `body`, a context of `context` tokens and windows of half its own to each side; with
    `strided` also every token whose distance is a multiple of that.

    A table of positions is repeated, so that in a window all distances are ones it was trained on, but for a seam
    (Beltagy et al. 2020, arXiv 2004.05150, section 5). Rotary angles go on. Raises `UserError` for a model whose
    attention is not full, or whose positions are stretched already.
    """
    shape = body.shape
    if shape.attention != "full" or shape.rotary_stretch != "none":
        raise UserError(f"--long {pattern} needs a model with full attention and positions that are not stretched.")
    if context <= shape.context:
        raise UserError(
            f"--long {pattern} makes the context longer than the model's {shape.context} tokens: leave it out."
        )
    span = max(2, shape.context // 2)
    longer = STACKS[shape.stack](
        replace(shape, context=context, attention=pattern, attention_span=span), logit_scale=logit_scale(body)
    )
    weights = {name: weight.detach() for name, weight in body.named_parameters()}
    if "position_table.weight" in weights:
        weights["position_table.weight"] = weights["position_table.weight"][torch.arange(context) % shape.context]
    with torch.no_grad():
        for name, weight in longer.named_parameters():
            weight.copy_(weights[name])
    return longer
