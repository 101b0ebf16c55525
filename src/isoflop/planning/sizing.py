"""A model's shape from its number of parameters, by a stated rule and within what hardware likes.

The rule for depth is GPT-3's (Brown et al. 2020, arXiv 2005.14165, table 2.1): width / layers is 64 at 125M and 128
from 6.7B on, between them a straight line in log N; Llama 2 and 3 stay within 102 to 130 there. The loss hardly depends
on it: 3 % over a range of 40 (Kaplan et al. 2020, arXiv 2001.08361, figure 5). The rest is Llama 3's manner: SwiGLU of
8/3 to 3.5 of the width, heads of 128 (64 in narrow models), 8 key-value heads where they divide the heads, an even
number of layers, and the largest usual vocabulary whose tables take at most a third of the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

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
) -> ModelShape:
    """The shape nearest to `params` and to the rule, with heads and feed-forward divisible by `tensor`.

    Raises `UserError` where no shape comes within 15 % of `params`, which is where `vocab` is too large for it.
    """
    if params < 1000:
        raise UserError(f"{params:.3g} parameters are no language model: choose a larger budget.")
    width = (params * aspect_ratio(params) / 12) ** (1 / 3)
    chosen = vocab or next((one for one in VOCABULARIES if one * width <= params / 3), VOCABULARIES[-1])
    target = aspect_ratio(params)

    def score(shape: ModelShape) -> float:
        miss = abs(math.log(counted(shape, convention) / params))
        off = abs(math.log(shape.width / shape.layers / target)) + 0.1 * (shape.ffn / shape.width - 8 / 3)
        return 20 * max(0.0, miss - CLOSE) + miss + off

    table = (chosen, context, params < TIED_BELOW)
    best = min(_candidates(width, target, tensor, table), key=score)
    if abs(counted(best, convention) / params - 1) > NEAR_ENOUGH:
        raise UserError(
            f"No shape with a vocabulary of {chosen:,} comes near {params:.3g} parameters: choose a smaller vocabulary "
            "or a larger budget."
        )
    return best


def _candidates(middle: float, aspect: float, tensor: int, table: tuple[int, int, bool]) -> Iterator[ModelShape]:
    """Shapes about `middle` of width, the width of 12 layers width^2 parameters at this aspect ratio."""
    for width in _widths(middle, tensor):
        size = _head_size(width)
        heads = width // size
        kv_heads = 8 if heads > 8 and heads % 8 == 0 else None
        quantum = (
            max(QUANTUM, 32 * tensor)
            if width >= SPLIT_FROM
            else QUANTUM
            if width >= 512
            else 8
            if width < FINE_BELOW
            else 32
        )
        step = 2 if width >= 512 else 1
        deep = width / aspect
        hidden = range(quantum * math.ceil(8 * width / 3 / quantum), int(3.5 * width) + 1, quantum)
        more = 3 if width < FINE_BELOW else step + 1
        for layers in range(step * max(1, int(0.75 * deep / step)), int(1.3 * deep) + more, step):
            for ffn in hidden[:: 1 + len(hidden) // 12]:
                yield ModelShape(layers, width, heads, table[0], table[1], ffn, kv_heads, tied=table[2])


def _head_size(width: int) -> int:
    if width >= SPLIT_FROM:
        return 128
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
    return fine + [width * wide for width in range(first, int(1.15 * middle / wide) + 2)]
