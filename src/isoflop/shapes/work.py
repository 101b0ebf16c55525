"""What one layer does to a token: matrix FLOPs, bytes moved through memory, bytes kept for the backward pass.

One list serves memory and time alike. Everything is per token, in the forward pass, for the whole layer; a layout
divides the entries by its degrees. For a GPT with dropout the bytes kept add up to Korthikanti et al. 2022
(arXiv 2205.05198), equation 1: 34 h + 5 a s per token, of which norms 8 h, attention 8 h + 5 a s, feed-forward 16 h
and the masks of dropout 2 h.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from isoflop.shapes.counting import (
    attention_matrix_params,
    expert_matrix_params,
    router_params,
    transform_matrix_params,
)
from isoflop.shapes.model_shape import ModelShape
from isoflop.shapes.program import Program

Split = Literal["tensor", "sequence"]
Kind = Literal["matrix", "core", "elementwise"]


@dataclass(frozen=True)
class Work:
    """One operation, per token: FLOPs of its matrix products, bytes moved and bytes kept.

    `split` says what divides it: tensor parallelism, or only sequence parallelism (norms, dropout, residuals). Of kind
    core are the products of attention, which have no weights.
    """

    name: str
    kind: Kind
    split: Split
    flops: float = 0.0
    moved: float = 0.0
    kept: float = 0.0

    def times(self, factor: float) -> Work:
        return Work(self.name, self.kind, self.split, factor * self.flops, factor * self.moved, factor * self.kept)


@lru_cache(maxsize=1024)
def layer_work(shape: ModelShape, program: Program) -> tuple[Work, ...]:
    """The operations of one layer on a token of a sequence of `shape.context` tokens.

    In an encoder-decoder this is the mean token over both stacks: 1.5 attentions and 2.5 norms a layer.
    """
    attentions, norms = (1.5, 2.5) if shape.stack == "encoder_decoder" else (1.0, 2.0)
    e, h = program.element, shape.width
    # Unfused, an RMSNorm casts up, squares, averages, scales, casts down and multiplies by the gain, pass after pass;
    # LayerNorm is one operation everywhere.
    passes = 2 * e if program.fused or shape.norm == "layer" else 32 + 4 * e
    mask = h if program.dropout else 0
    return (
        # A norm keeps its input and its output: the output is the input of the matrix behind it.
        Work("norm", "elementwise", "sequence", moved=passes * h, kept=2 * e * h).times(norms),
        *(one.times(attentions) for one in _attention_work(shape, program)),
        *_feed_forward_work(shape, program),
        Work("residual", "elementwise", "sequence", moved=3 * e * h + mask, kept=mask).times(norms),
    )


@lru_cache(maxsize=1024)
def head_work(shape: ModelShape, program: Program) -> tuple[Work, ...]:
    """The final norm, the output matrix and the loss on one token.

    Fused, the loss keeps one table of logits in 32 bits (Korthikanti et al. 2022, section 4.3). Unfused it holds, at
    its peak, the logits in both precisions, their log-softmax and its gradient.
    """
    e, h, v = program.element, shape.width, shape.vocab
    before = transform_matrix_params(shape)
    share = 0.5 if shape.stack == "encoder_decoder" else 1.0
    moved, kept = (4 * e + 8, 4) if program.fused_loss else (22 + 4 * e, 12 + e)
    return (
        Work("final norm", "elementwise", "sequence", moved=2 * e * h, kept=2 * e * h),
        Work("transform", "matrix", "tensor", flops=2 * before, moved=2 * e * h if before else 0),
        Work("output matrix", "matrix", "tensor", flops=2 * h * v, moved=e * (h + v)).times(share),
        Work("loss", "elementwise", "tensor", moved=moved * v, kept=kept * v).times(share),
    )


def _attention_work(shape: ModelShape, program: Program) -> tuple[Work, ...]:
    e, h = program.element, shape.width
    wide, made = shape.attention_width, shape.attention_width + 2 * shape.kv_width
    projection = 2 * wide * h
    rotated = wide + shape.kv_width if shape.positions == "rotary" else 0
    normed = wide + shape.kv_width if shape.qk_norm else 0
    return (
        Work(
            "query, key, value",
            "matrix",
            "tensor",
            2 * attention_matrix_params(shape) - projection,
            moved=e * (h + made),
            kept=e * made,
        ),
        Work("query-key norm", "elementwise", "tensor", moved=2 * e * normed, kept=2 * e * normed),
        # Unfused, a rotation casts to 32 bits, multiplies complex numbers and casts back.
        Work(
            "rotary positions",
            "elementwise",
            "tensor",
            moved=rotated * (2 * e if program.fused else 16 + 4 * e),
            kept=e * rotated if program.joint_qkv else 0,
        ),
        _core_work(shape, program),
        Work("output projection", "matrix", "tensor", projection, moved=e * (wide + h), kept=e * wide),
    )


def _core_work(shape: ModelShape, program: Program) -> Work:
    e, scores = program.element, shape.heads * shape.context
    flops = 4 * shape.attention_width * shape.context
    if program.flash:
        half = program.causal_skip and shape.stack != "encoder" and shape.attention in ("full", "block")
        seen = (0.5 if half else 1.0) * shape.attended / shape.context
        moved = e * 2 * (shape.attention_width + shape.kv_width)
        return Work("attention", "core", "tensor", seen * flops, moved=moved, kept=4 * shape.heads)
    # Scores are written, read and written by the softmax and read again; dropout reads, writes and keeps a mask.
    moved, kept = (6 * e + 1, 2 * e + 1) if program.dropout else (4 * e, e)
    return Work("attention", "core", "tensor", flops, moved=moved * scores, kept=kept * scores)


def _feed_forward_work(shape: ModelShape, program: Program) -> tuple[Work, ...]:
    e, h, f = program.element, shape.width, shape.ffn
    gated = shape.matrices_per_feed_forward == 3
    inner = 2 * f if gated else f
    down = 2 * h * f
    # Unfused, the gate's activation is written, kept and read again before it meets the other half.
    extra = f if gated and not program.fused else 0
    copied = h if shape.experts > 1 else 0
    work = (
        Work(
            "feed-forward up",
            "matrix",
            "tensor",
            2 * expert_matrix_params(shape) - down,
            moved=e * (h + inner),
            kept=e * (inner + copied),
        ),
        Work("activation", "elementwise", "tensor", moved=e * (inner + f + 2 * extra), kept=e * (f + extra)),
        Work("feed-forward down", "matrix", "tensor", down, moved=e * (f + h)),
    )
    router = Work("router", "matrix", "sequence", flops=2 * router_params(shape), moved=e * h)
    return (*((router,) if copied else ()), *(one.times(shape.active_experts) for one in work))
