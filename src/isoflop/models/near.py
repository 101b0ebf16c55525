"""Attention of windows and blocks without the whole table of scores: each block of queries takes only the keys near it.

Work and memory grow with T × span in place of T². B batch, T tokens, N blocks of queries, W queries of a block (the
span), R keys that these take, H heads, K key-value heads, C channels of a head.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from isoflop.models.masks import View, seen_pairs, view_of
from isoflop.shapes import ModelShape

GAIN = 2
"""Blocks are worth their rearranging where they take at most one in so many of the keys."""


class NearView(NamedTuple):
    """How each block of `span` queries sees its own keys and those of `before` blocks before and `ahead` behind it.

    `view` is of B·N sequences of W queries and R keys.
    """

    span: int
    before: int
    ahead: int
    view: View


def near_view(
    shape: ModelShape,
    tokens_BT: Tensor,
    *,
    causal: bool,
    documents: Tensor | None = None,
    prefix: Tensor | None = None,
) -> NearView | None:
    """The view of a window or of blocks; None for other patterns, and where sequences are too short to gain."""
    span, (batch, length) = shape.attention_span, tokens_BT.shape[:2]
    if shape.attention not in ("window", "block") or span is None:
        return None
    whole = shape.attention == "block" and documents is None  # else a block may lie across two of the row's
    before, ahead = (0, 0) if whole else (1, 0 if causal and prefix is None else 1)
    if GAIN * (before + 1 + ahead) * span > length:
        return None
    query_NW = torch.arange(-(-length // span) * span, device=tokens_BT.device).view(-1, span)
    near_R = torch.arange(-before * span, (1 + ahead) * span, device=tokens_BT.device)
    key_NR = query_NW[:, :1] + near_R
    seen_BNWR = seen_pairs(shape, query_NW, key_NR, causal=causal, documents=documents, prefix=prefix)
    seen_BNWR = seen_BNWR & ((key_NR >= 0) & (key_NR < length))[:, None, :]
    seen_BNWR = seen_BNWR.expand(batch, -1, -1, -1).flatten(0, 1)
    may_be_blind = documents is not None or length % span > 0  # the last block may reach beyond the sequence
    return NearView(span, before, ahead, view_of(seen_BNWR, may_be_blind=may_be_blind, causal=causal))


def into_blocks(q_BHTC: Tensor, k_BKTC: Tensor, v_BKTC: Tensor, near: NearView) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (B·N, H, W, C), and the keys and values (B·N, K, R, C) that each block of them takes."""
    beyond = -q_BHTC.shape[2] % near.span
    q_BHNWC = F.pad(q_BHTC, (0, 0, 0, beyond)).unflatten(2, (-1, near.span))
    keys, values = (_near_keys(x_BKTC, near, beyond) for x_BKTC in (k_BKTC, v_BKTC))
    return q_BHNWC.transpose(1, 2).flatten(0, 1), keys, values


def out_of_blocks(y: Tensor, batch: int, length: int) -> Tensor:
    """(B·N, H, W, C) to (B, H, T, C)."""
    return y.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2, 3)[:, :, :length]


def _near_keys(x_BKTC: Tensor, near: NearView, beyond: int) -> Tensor:
    """What each block of queries takes: (B·N, K, R, C); zeros outside the sequence."""
    padded = F.pad(x_BKTC, (0, 0, near.before * near.span, near.ahead * near.span + beyond))
    x_BKNCR = padded.unfold(2, (near.before + 1 + near.ahead) * near.span, near.span)
    return x_BKNCR.permute(0, 2, 1, 4, 3).flatten(0, 1)
