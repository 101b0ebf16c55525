"""Which token sees which: worked out once for a batch, in the form that torch's attention takes.

B batch, T tokens that look, S tokens that are looked at, H heads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from isoflop.models.batch import PADDING
from isoflop.models.positions import document_places
from isoflop.shapes import ModelShape


class View(NamedTuple):
    """What attention needs to know of who sees whom.

    With `scores` None everything is seen, or with `causal` everything up to a token itself: the fast case. Else
    `scores` (B or 1, H or 1, T, S) is added to the logits, −∞ where nothing is seen, and what comes out of rows that
    are `blind` (B, 1, T, 1) is zero: they see nothing at all (their scores let them see everything, since a softmax
    over nothing has no value).
    """

    causal: bool
    scores: Tensor | None = None
    blind: Tensor | None = None


def self_view(
    shape: ModelShape,
    tokens_BT: Tensor,
    *,
    causal: bool,
    documents: Tensor | None = None,
    prefix: Tensor | None = None,
) -> View:
    """The view of a stack on itself: order, pattern, documents and prefix, without biases of positions."""
    length = tokens_BT.shape[1]
    patterned = shape.attention != "full" and (shape.attention_span or length) < length
    if not patterned and documents is None and prefix is None:
        return View(causal)
    place_1T = torch.arange(length, device=tokens_BT.device)[None]
    seen_B1TS = seen_pairs(shape, place_1T, place_1T, causal=causal, documents=documents, prefix=prefix)
    return view_of(seen_B1TS[:, 0], may_be_blind=documents is not None, causal=causal)


def seen_pairs(
    shape: ModelShape,
    query_NT: Tensor,
    key_NS: Tensor,
    *,
    causal: bool,
    documents: Tensor | None,
    prefix: Tensor | None,
) -> Tensor:
    """Whether tokens at some places see those at others, in N groups of both: (B or 1, N, T, S)."""
    query_NT1, key_N1S = query_NT[:, :, None], key_NS[:, None, :]
    seen_BNTS = (key_N1S <= query_NT1 if causal else torch.ones_like(key_N1S <= query_NT1))[None]
    if causal and prefix is not None:
        seen_BNTS = seen_BNTS | (key_N1S < prefix[:, None, None, None])
    if shape.attention != "full":
        seen_BNTS = seen_BNTS & pattern(shape, query_NT, key_NS, documents)
    if documents is not None:
        own_BNT1, other_BN1S = _at(documents, query_NT)[..., None], _at(documents, key_NS)[:, :, None]
        seen_BNTS = seen_BNTS & (own_BNT1 == other_BN1S) & (own_BNT1 != PADDING)
    return seen_BNTS


def pattern(shape: ModelShape, query_NT: Tensor, key_NS: Tensor, documents: Tensor | None = None) -> Tensor:
    """Whether the pattern lets a token see another, whatever their order: (B or 1, N, T, S), symmetric.

    Window: nearer than the span (Beltagy et al. 2020, arXiv 2004.05150). Strided: that, and every span-th token (Child
    et al. 2019, arXiv 1904.10509, section 4.2, both sets in one head). Block: in the same block of so many tokens,
    counted from the document's start (Qiu et al. 2020, arXiv 1911.02972).
    """
    span = shape.attention_span or shape.context
    if shape.attention == "block":
        if documents is not None:
            block_BT = document_places(documents) // span
            return _at(block_BT, query_NT)[..., None] == _at(block_BT, key_NS)[:, :, None]
        return (query_NT[:, :, None] // span == key_NS[:, None, :] // span)[None]
    away_NTS = (query_NT[:, :, None] - key_NS[:, None, :]).abs()[None]
    if shape.attention == "strided":
        return (away_NTS < span) | (away_NTS % span == 0)
    return away_NTS < span


def _at(x_BT: Tensor, place_NT: Tensor) -> Tensor:
    """What stands at the places; those outside the sequence, which nobody sees, get what stands at its ends."""
    return x_BT[:, place_NT.clamp(0, x_BT.shape[1] - 1)]


def cross_view(documents: Tensor | None, source_documents: Tensor | None) -> View:
    """The view of a decoder on its encoder: a token sees the source with its own number, or, where one of the two has
    no numbers, all that is no padding."""
    if source_documents is None and documents is None:
        return View(causal=False)
    if source_documents is None:
        assert documents is not None
        return View(False, None, (documents == PADDING)[:, None, :, None])
    seen_BTS = (source_documents != PADDING)[:, None, :]
    if documents is not None:
        seen_BTS = seen_BTS & (documents[:, :, None] == source_documents[:, None, :])
    return view_of(seen_BTS, may_be_blind=True, causal=False)


def view_of(seen_BTS: Tensor, *, may_be_blind: bool, causal: bool) -> View:
    """The view that shows these pairs."""
    if not may_be_blind:
        return View(causal, _scores(seen_BTS))
    blind_BT1 = ~seen_BTS.any(dim=-1, keepdim=True)
    return View(False, _scores(seen_BTS | blind_BT1), blind_BT1[:, None])


def _scores(seen_BTS: Tensor) -> Tensor:
    zeros_BTS = torch.zeros(seen_BTS.shape, device=seen_BTS.device)
    return zeros_BTS.masked_fill(~seen_BTS, float("-inf"))[:, None]
