"""Attention of a sequence on itself, and of a decoder on what its encoder read.

B batch, T tokens that look, S tokens that are looked at, D width, H heads, K key-value heads, N heads of all kinds,
C channels of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.models.cache import Kept
from isoflop.models.masks import View
from isoflop.models.near import NearView, into_blocks, out_of_blocks
from isoflop.models.norms import build_norm
from isoflop.models.positions import rotate
from isoflop.shapes import ModelShape

Rotation = tuple[Tensor, Tensor]
SHORT = 1024 * 1024
"""Up to so many weights of a head (T·S), they are kept rather than computed twice, where that is faster."""


class Attention(nn.Module):
    """Self-attention; where heads share keys and values, these are grouped. `logit_scale` multiplies q·k.

    With `kept` the tokens also see those whose keys and values are there already.
    """

    def __init__(self, shape: ModelShape, logit_scale: float) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_size = shape.heads, shape.n_kv_heads, shape.head_size
        self.logit_scale, self.dropout = logit_scale, shape.dropout
        self.qkv = nn.Linear(shape.width, shape.attention_width + 2 * shape.kv_width, bias=shape.biases != "none")
        self.out = nn.Linear(shape.attention_width, shape.width, bias=shape.biases == "all")
        self.q_norm = build_norm(shape, shape.head_size) if shape.qk_norm else None
        self.k_norm = build_norm(shape, shape.head_size) if shape.qk_norm else None
        self.prefix: nn.Module | None = None  # puts keys and values before all others (adaptation's prefix tuning)

    def forward(
        self, x_BTD: Tensor, rotation: Rotation | None, view: View | NearView, kept: Kept | None = None
    ) -> Tensor:
        batch, length, _ = x_BTD.shape
        qkv_BNTC = self.qkv(x_BTD).view(batch, length, -1, self.head_size).transpose(1, 2)
        qk_BNTC, v_BKTC = qkv_BNTC.split((self.heads + self.kv_heads, self.kv_heads), dim=1)
        if self.q_norm is not None and self.k_norm is not None:
            q_BHTC, k_BKTC = qk_BNTC.split((self.heads, self.kv_heads), dim=1)
            q_BHTC, k_BKTC = self.q_norm(q_BHTC), self.k_norm(k_BKTC)
            if rotation is not None:
                q_BHTC, k_BKTC = rotate(q_BHTC, rotation), rotate(k_BKTC, rotation)
        else:
            turned_BNTC = qk_BNTC if rotation is None else rotate(qk_BNTC, rotation)
            q_BHTC, k_BKTC = turned_BNTC.split((self.heads, self.kv_heads), dim=1)
        if self.prefix is not None:
            is_kept = kept is not None and kept.count > 0
            k_BKTC, v_BKTC, view = self.prefix(k_BKTC, v_BKTC, view, is_kept=is_kept)
        if kept is not None:
            k_BKTC, v_BKTC = kept.add(k_BKTC, v_BKTC)
        dropout = self.dropout if self.training else 0.0
        y_BHTC = attend(q_BHTC, k_BKTC, v_BKTC, view=view, scale=self.logit_scale, dropout=dropout)
        return self.out(y_BHTC.transpose(1, 2).reshape(batch, length, -1))


class CrossAttention(nn.Module):
    """Attention of a decoder's tokens on an encoder's; queries from one, keys and values from the other.

    With `kept` the keys and values are made once.
    """

    def __init__(self, shape: ModelShape, logit_scale: float) -> None:
        super().__init__()
        self.kv_heads, self.head_size = shape.n_kv_heads, shape.head_size
        self.logit_scale, self.dropout = logit_scale, shape.dropout
        self.q = nn.Linear(shape.width, shape.attention_width, bias=shape.biases != "none")
        self.kv = nn.Linear(shape.width, 2 * shape.kv_width, bias=shape.biases != "none")
        self.out = nn.Linear(shape.attention_width, shape.width, bias=shape.biases == "all")

    def forward(self, x_BTD: Tensor, memory_BSD: Tensor, view: View, kept: Kept | None = None) -> Tensor:
        batch, length, _ = x_BTD.shape
        q_BHTC = self.q(x_BTD).view(batch, length, -1, self.head_size).transpose(1, 2)
        if kept is not None and kept.count:
            k_BKSC, v_BKSC = kept.all()
        else:
            kv_BNSC = self.kv(memory_BSD).view(batch, memory_BSD.shape[1], -1, self.head_size).transpose(1, 2)
            k_BKSC, v_BKSC = kv_BNSC.split((self.kv_heads, self.kv_heads), dim=1)
            if kept is not None:
                kept.add(k_BKSC, v_BKSC)
        dropout = self.dropout if self.training else 0.0
        y_BHTC = attend(q_BHTC, k_BKSC, v_BKSC, view=view, scale=self.logit_scale, dropout=dropout)
        return self.out(y_BHTC.transpose(1, 2).reshape(batch, length, -1))


def attend(
    q_BHTC: Tensor, k_BKSC: Tensor, v_BKSC: Tensor, *, view: View | NearView, scale: float, dropout: float = 0.0
) -> Tensor:
    """softmax(scale·q·k + scores)·v over what `view` lets be seen, zero in blind rows: (B, H, T, C)."""
    if isinstance(view, NearView):
        blocks = into_blocks(q_BHTC, k_BKSC, v_BKSC, view)
        y = attend(*blocks, view=view.view, scale=scale, dropout=dropout)
        return out_of_blocks(y, q_BHTC.shape[0], q_BHTC.shape[2])
    if not dropout and _products_are_faster(q_BHTC, k_BKSC):
        y_BHTC = attend_by_products(q_BHTC, k_BKSC, v_BKSC, view=view, scale=scale)
    else:
        scores = None if view.scores is None else view.scores.to(q_BHTC.dtype)
        y_BHTC = F.scaled_dot_product_attention(
            q_BHTC,
            k_BKSC,
            v_BKSC,
            attn_mask=scores,
            is_causal=view.causal and scores is None,
            dropout_p=dropout,
            scale=scale,
            enable_gqa=k_BKSC.shape[1] != q_BHTC.shape[1],
        )
    return y_BHTC if view.blind is None else y_BHTC.masked_fill(view.blind, 0)


def attend_by_products(q_BHTC: Tensor, k_BKSC: Tensor, v_BKSC: Tensor, *, view: View, scale: float) -> Tensor:
    """The same in bf16 by two batched matrix products with all weights in memory, softmax in fp32."""
    length, seen, shared = q_BHTC.shape[2], k_BKSC.shape[2], q_BHTC.shape[1] // k_BKSC.shape[1]
    with torch.autocast(q_BHTC.device.type, enabled=False):
        q_BHTC, k_BKSC, v_BKSC = (x.bfloat16() for x in (q_BHTC, k_BKSC, v_BKSC))
        if shared > 1:
            k_BKSC, v_BKSC = k_BKSC.repeat_interleave(shared, 1), v_BKSC.repeat_interleave(shared, 1)
        scores = view.scores
        if scores is None and view.causal:
            scores = q_BHTC.new_full((length, seen), -torch.inf).triu(1)
        z_BHTS = q_BHTC @ k_BKSC.transpose(-1, -2) * scale
        weights_BHTS = torch.softmax(z_BHTS if scores is None else z_BHTS + scores.to(z_BHTS.dtype), dim=-1)
        return weights_BHTS @ v_BKSC


def _products_are_faster(q_BHTC: Tensor, k_BKSC: Tensor) -> bool:
    """In bf16 on a processor, torch's own kernel goes backwards at a tenth of the matrix products' rate."""
    if q_BHTC.device.type != "cpu" or q_BHTC.shape[2] * k_BKSC.shape[2] > SHORT:
        return False
    return q_BHTC.dtype == torch.bfloat16 or (
        torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )
