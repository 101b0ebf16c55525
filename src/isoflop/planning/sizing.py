"""A model's shape from its number of parameters, by a stated rule and within what hardware likes.

The rule for depth is GPT-3's (Brown et al. 2020, arXiv 2005.14165, table 2.1): width / layers is 64 at 125M and 128
from 6.7B on, between them a straight line in log N; Llama 2 and 3 stay within 102 to 130 there. The loss hardly depends
on it: 3 % over a range of 40 (Kaplan et al. 2020, arXiv 2001.08361, figure 5). The rest is Llama 3's manner: SwiGLU of
8/3 to 3.5 of the width, heads of 128 (64 in narrow models), 8 key-value heads where they divide the heads, an even
number of layers, and the largest usual vocabulary whose tables take at most a third of the parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from isoflop.errors import UserError
from isoflop.shapes import ModelShape, count_params, matmul_params

Convention = Literal["total", "body", "matmul"]
"""What a law's N counts: every parameter; those between embedding and head; those that multiply a token."""

SMALL, LARGE = (125e6, 64.0), (6.7e9, 128.0)
"""Parameters and width / layers at the two ends of GPT-3's table."""
QUANTUM = 128
"""Widths and feed-forwards from 512 on are its multiples, so that every matrix fills the tiles of a matrix unit."""
VOCABULARIES = (128256, 50304, 32000, 16384, 8192, 4096, 2048, 1024, 512)
"""Llama 3's, GPT-NeoX's and Llama 2's, and powers of two for small models."""
TIED_BELOW = 2e9
"""Below this the embedding is a large part of the model and is tied to the head, as in SmolLM2 and Qwen 2.5."""
FINE_BELOW = 256
"""Narrower models, which processors train, have widths in eights (from 128 in sixteens), and heads down to 8."""
FINE_UNTIL = 4096
"""Narrower models have widths in half steps as well, with heads of 64, so that no size is out of reach."""
SPLIT_FROM = 2048
"""Narrower models are not worth dividing among devices."""
CLOSE = 0.01
"""Closer than this to the parameters, the rule decides."""
NEAR_ENOUGH = 0.15
"""A shape that misses the parameters by more than this share is not offered: so far a law's flat bottom reaches."""


def counted(shape: ModelShape, convention: Convention = "total") -> int:
    """The shape's parameters under a convention."""
    if convention == "matmul":
        return matmul_params(shape)
    counts = count_params(shape)
    return counts.body if convention == "body" else counts.total


def aspect_ratio(params: float) -> float:
    """Width / layers by the rule of this module."""
    (n0, low), (n1, high) = SMALL, LARGE
    share = (math.log(params) - math.log(n0)) / (math.log(n1) - math.log(n0))
    return low + (high - low) * min(1.0, max(0.0, share))


def shape_for(
    params: float,
    *,
    convention: Convention = "total",
    context: int = 8192,
    vocab: int | None = None,
    tensor: int = 8,
    may_tie: bool = True,
) -> ModelShape:
    """The shape nearest to `params` and to the rule, with heads and feed-forward divisible by `tensor`.

    `may_tie`: the head may be the embedding, which μP and its kin don't allow: they scale the two differently.
    Raises `UserError` where no shape comes within 15 % of `params`, which is where `vocab` is too large for it.
    """
    if params < 1000:
        raise UserError(f"{params:.3g} parameters are no language model: choose a larger budget.")
    width = (params * aspect_ratio(params) / 12) ** (1 / 3)
    chosen = vocab or next((one for one in VOCABULARIES if one * width <= params / 3), VOCABULARIES[-1])
    target = aspect_ratio(params)
    table = _Table(chosen, context, tied=may_tie and params < TIED_BELOW)
    found = [
        _nearest(params, target, table.family(width, tensor), convention=convention) for width in _widths(width, tensor)
    ]
    best = min(found, key=lambda one: one[0])[1]
    if abs(counted(best, convention) / params - 1) > NEAR_ENOUGH:
        raise UserError(
            f"No shape with a vocabulary of {chosen:,} comes near {params:.3g} parameters: choose a smaller vocabulary "
            "or a larger budget."
        )
    return best


@dataclass(frozen=True)
class _Table:
    vocab: int
    context: int
    tied: bool

    def family(self, width: int, tensor: int) -> tuple[ModelShape, int]:
        """A shape of one layer and the smallest feed-forward of this width, and the step of feed-forwards."""
        heads = width // _head_size(width, tensor)
        kv_heads = 8 if heads > 8 and heads % 8 == 0 else None
        wide = max(QUANTUM, 32 * tensor) if width >= SPLIT_FROM else QUANTUM
        step = wide if width >= 512 else 8 if width < FINE_BELOW else 32
        ffn = step * math.ceil(8 * width / 3 / step)
        return ModelShape(1, width, heads, self.vocab, self.context, ffn, kv_heads, tied=self.tied), step


def _nearest(
    params: float, aspect: float, family: tuple[ModelShape, int], *, convention: Convention
) -> tuple[float, ModelShape]:
    """The shape of a width nearest to `params` and to the rule, and how far it is from both.

    Parameters are outside + layers (attention + per_ffn x ffn), so that three of them tell those of every shape.
    """
    one, quantum = family
    width, step = one.width, 2 if one.width >= 512 else 1
    deep = width / aspect
    more = 3 if width < FINE_BELOW else step + 1
    layers = np.arange(step * max(1, int(0.75 * deep / step)), int(1.3 * deep) + more, step)[:, None]
    ffn = np.arange(one.ffn, int(3.5 * width) + 1, quantum)
    ffn = ffn[:: 1 + len(ffn) // 12]
    first = counted(one, convention)
    per_layer = counted(replace(one, layers=2), convention) - first
    per_ffn = (counted(replace(one, ffn=2 * one.ffn), convention) - first) / one.ffn
    counts = first - per_layer + layers * (per_layer + per_ffn * (ffn - one.ffn))
    miss = np.abs(np.log(counts / params))
    off = np.abs(np.log(width / layers / aspect)) + 0.1 * (ffn / width - 8 / 3)
    score = 20 * np.maximum(0.0, miss - CLOSE) + miss + off
    row, column = np.unravel_index(score.argmin(), score.shape)
    return float(score[row, column]), replace(one, layers=int(layers[row, 0]), ffn=int(ffn[column]))


def _head_size(width: int, tensor: int) -> int:
    if width >= SPLIT_FROM:
        return 128 if width % (128 * tensor) == 0 else 64
    return next((size for size in (64, 32, 16) if width % size == 0 and width >= 2 * size), 8)


def _widths(middle: float, tensor: int) -> list[int]:
    narrow = (
        *range(8, 128, 8),
        *range(128, FINE_BELOW, 16),
        *range(FINE_BELOW, 512, 32),
        *range(512, SPLIT_FROM, QUANTUM),
    )
    fine = [width for width in narrow if 0.3 * middle < width < 1.6 * middle]
    wide = QUANTUM * tensor
    first = max(math.ceil(SPLIT_FROM / wide), int(0.85 * middle / wide))
    wider = [width * wide for width in range(first, int(1.15 * middle / wide) + 2)]
    between = [width + wide // 2 for width in wider if width < FINE_UNTIL]
    return fine + sorted(wider + between)
