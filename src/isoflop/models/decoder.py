"""A decoder-only Transformer: pre-norm, rotary positions, RMSNorm without gains, no biases.

B batch, T tokens, D width, H heads, K key-value heads, S head size, F feed-forward size, V vocabulary.
It is plain on purpose: no multiplier of any parametrisation stands in it (docs/decisions/0002), and its norms have no
gains (u-μP wants none, arXiv 2407.17465; a gain that learned at the matrices' rate ruined the runs, docs/log.md).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.errors import UserError
from isoflop.models.batch import Batch
from isoflop.shapes import FeedForward, ModelShape

ROTARY_BASE = 10_000.0
NORM_EPS = 1e-6


class Attention(nn.Module):
    """Causal self-attention with rotary positions and, where heads share them, grouped keys and values."""

    def __init__(self, shape: ModelShape, logit_scale: float) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_size = shape.heads, shape.n_kv_heads, shape.head_size
        self.logit_scale = logit_scale
        self.qkv = nn.Linear(shape.width, (self.heads + 2 * self.kv_heads) * self.head_size, bias=False)
        self.out = nn.Linear(self.heads * self.head_size, shape.width, bias=False)

    def forward(self, x_BTD: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        batch, length, _ = x_BTD.shape
        qkv_BTNS = self.qkv(x_BTD).view(batch, length, -1, self.head_size).transpose(1, 2)
        qk_BNTS, v_BKTS = qkv_BTNS.split((self.heads + self.kv_heads, self.kv_heads), dim=1)
        q_BHTS, k_BKTS = rotate(qk_BNTS, rotation).split((self.heads, self.kv_heads), dim=1)
        y_BHTS = F.scaled_dot_product_attention(
            q_BHTS, k_BKTS, v_BKTS, is_causal=True, scale=self.logit_scale, enable_gqa=self.kv_heads != self.heads
        )
        return self.out(y_BHTS.transpose(1, 2).reshape(batch, length, -1))


class FeedForwardLayer(nn.Module):
    """The position-wise layer: `down(activation(up(x)))`; for SwiGLU `up` holds gate and value side by side."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.kind: FeedForward = shape.feed_forward
        self.up = nn.Linear(shape.width, shape.ffn * (shape.matrices_per_feed_forward - 1), bias=False)
        self.down = nn.Linear(shape.ffn, shape.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        u_BTF = self.up(x_BTD)
        if self.kind == "swiglu":
            gate_BTF, value_BTF = u_BTF.chunk(2, dim=-1)
            return self.down(F.silu(gate_BTF) * value_BTF)
        if self.kind == "relu2":
            return self.down(F.relu(u_BTF).square())
        return self.down(F.gelu(u_BTF) if self.kind == "gelu" else F.relu(u_BTF))


class Block(nn.Module):
    """Attention, then feed-forward, each on a normed copy of the residual stream and added to it."""

    def __init__(self, shape: ModelShape, logit_scale: float) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=NORM_EPS, elementwise_affine=False)
        self.attention = Attention(shape, logit_scale)
        self.feed_forward_norm = nn.RMSNorm(shape.width, eps=NORM_EPS, elementwise_affine=False)
        self.feed_forward = FeedForwardLayer(shape)

    def forward(self, x_BTD: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD), rotation)
        return x_BTD + self.feed_forward(self.feed_forward_norm(x_BTD))


class Decoder(nn.Module):
    """A batch's inputs (B, T) to logits (B, T, V). `logit_scale` multiplies q·k in every head."""

    def __init__(self, shape: ModelShape, *, logit_scale: float) -> None:
        super().__init__()
        _refuse_what_is_not_built(shape)
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab, shape.width)
        self.blocks = nn.ModuleList(Block(shape, logit_scale) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=NORM_EPS, elementwise_affine=False)
        self.head = nn.Linear(shape.width, shape.vocab, bias=False)
        if shape.tied:
            self.head.weight = self.embedding.weight
        cos_TS, sin_TS = rotary_table(shape.context, shape.head_size)
        self.cos_TS: Tensor
        self.sin_TS: Tensor
        self.register_buffer("cos_TS", cos_TS, persistent=False)
        self.register_buffer("sin_TS", sin_TS, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.features(batch))

    def features(self, batch: Batch) -> Tensor:
        """What goes into the head: (B, T, D)."""
        tokens_BT = batch.inputs
        length = tokens_BT.shape[1]
        rotation = (self.cos_TS[:length], self.sin_TS[:length])
        x_BTD = self.embedding(tokens_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD, rotation)
        return self.norm(x_BTD)


def _refuse_what_is_not_built(shape: ModelShape) -> None:
    built = {"stack": "decoder", "norm": "plain", "biases": "none", "positions": "rotary", "experts": 1}
    other = [name for name, value in built.items() if getattr(shape, name) != value]
    if other:
        wanted = ", ".join(f"{name} {built[name]!r}" for name in other)
        raise UserError(f"Only decoders with {wanted} can be trained so far, not {getattr(shape, other[0])!r}.")


def rotary_table(length: int, head_size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (T, S/2) of rotary positions (Su et al. 2021, arXiv 2104.09864, eq. 15), base 10,000."""
    frequency_S = ROTARY_BASE ** (-torch.arange(0, head_size, 2, dtype=torch.float64) / head_size)
    angle_TS = torch.arange(length, dtype=torch.float64)[:, None] * frequency_S
    return angle_TS.cos().float(), angle_TS.sin().float()


def rotate(x_BNTS: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each pair (i, i + S/2) of a head by its position's angle (the half-split layout of Llama checkpoints)."""
    cos_TS, sin_TS = rotation
    left, right = x_BNTS.chunk(2, dim=-1)
    return torch.cat((left * cos_TS - right * sin_TS, left * sin_TS + right * cos_TS), dim=-1)
