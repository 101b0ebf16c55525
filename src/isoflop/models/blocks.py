"""The block that every stack is made of: attention, in a decoder that reads an encoder a second one, feed-forward.

B batch, T tokens, D width, F feed-forward size. It is plain on purpose: no multiplier of any parametrisation stands
in it (docs/decisions/0002).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.models.attention import Attention, CrossAttention, Rotation
from isoflop.models.cache import Kept
from isoflop.models.masks import View
from isoflop.models.near import NearView
from isoflop.models.norms import build_norm
from isoflop.shapes import FeedForward, ModelShape


def activation(kind: FeedForward, x: Tensor) -> Tensor:
    """The non-linearity of a feed-forward; of a gated one, what its gate goes through."""
    if kind == "swiglu":
        return F.silu(x)
    if kind == "relu2":
        return F.relu(x).square()
    if kind == "relu":
        return F.relu(x)
    return F.gelu(x) if kind == "gelu" else F.gelu(x, approximate="tanh")


class FeedForwardLayer(nn.Module):
    """The position-wise layer: `down(activation(up(x)))`; a gated one's `up` holds gate and value side by side."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.kind: FeedForward = shape.feed_forward
        self.is_gated = shape.is_gated
        self.up = nn.Linear(shape.width, shape.ffn * (1 + shape.is_gated), bias=shape.biases == "all")
        self.down = nn.Linear(shape.ffn, shape.width, bias=shape.biases == "all")

    def forward(self, x_BTD: Tensor) -> Tensor:
        u_BTF = self.up(x_BTD)
        if self.is_gated:
            gate_BTF, value_BTF = u_BTF.chunk(2, dim=-1)
            return self.down(activation(self.kind, gate_BTF) * value_BTF)
        return self.down(activation(self.kind, u_BTF))


class Block(nn.Module):
    """Each layer works on a normed copy of the residual stream and is added to it; or, with norms last, works on the
    stream itself, which is normed after the sum."""

    def __init__(self, shape: ModelShape, logit_scale: float, *, crossed: bool = False) -> None:
        super().__init__()
        self.norms_first, self.dropout = shape.norm_place == "pre", shape.dropout
        self.attention_norm = build_norm(shape, shape.width)
        self.attention = Attention(shape, logit_scale)
        self.cross_norm = build_norm(shape, shape.width) if crossed else None
        self.cross = CrossAttention(shape, logit_scale) if crossed else None
        self.feed_forward_norm = build_norm(shape, shape.width)
        self.feed_forward = FeedForwardLayer(shape)

    def forward(
        self,
        x_BTD: Tensor,
        rotation: Rotation | None,
        view: View | NearView,
        memory: tuple[Tensor, View] | None = None,
        kept: tuple[Kept, Kept] | None = None,
    ) -> Tensor:
        own, crossed = (None, None) if kept is None else kept
        if self.norms_first:
            x_BTD = x_BTD + self._drop(self.attention(self.attention_norm(x_BTD), rotation, view, own))
            if memory is not None and self.cross is not None and self.cross_norm is not None:
                x_BTD = x_BTD + self._drop(self.cross(self.cross_norm(x_BTD), *memory, crossed))
            return x_BTD + self._drop(self.feed_forward(self.feed_forward_norm(x_BTD)))
        x_BTD = self.attention_norm(x_BTD + self._drop(self.attention(x_BTD, rotation, view, own)))
        if memory is not None and self.cross is not None and self.cross_norm is not None:
            x_BTD = self.cross_norm(x_BTD + self._drop(self.cross(x_BTD, *memory, crossed)))
        return self.feed_forward_norm(x_BTD + self._drop(self.feed_forward(x_BTD)))

    def _drop(self, x_BTD: Tensor) -> Tensor:
        return F.dropout(x_BTD, self.dropout, training=True) if self.dropout and self.training else x_BTD
