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
    place_T = torch.arange(length, device=tokens_BT.device)
    query_T1, key_1S = place_T[:, None], place_T[None, :]
    seen_BTS = torch.ones(1, length, length, dtype=torch.bool, device=tokens_BT.device)
    if causal:
        seen_BTS = (key_1S <= query_T1)[None]
        if prefix is not None:
            seen_BTS = seen_BTS | (key_1S < prefix[:, None, None])
    if patterned:
        seen_BTS = seen_BTS & pattern(shape, place_T, documents)
    if documents is None:
        return View(causal, _scores(seen_BTS))
    return _only_within(seen_BTS, documents, documents)


def pattern(shape: ModelShape, place_T: Tensor, documents: Tensor | None = None) -> Tensor:
    """Whether the pattern lets a token see another, whatever their order: (B or 1, T, S), symmetric.

    Window: nearer than the span (Beltagy et al. 2020, arXiv 2004.05150). Strided: that, and every span-th token (Child
    et al. 2019, arXiv 1904.10509, section 4.2, both sets in one head). Block: in the same block of so many tokens,
    counted from the document's start (Qiu et al. 2020, arXiv 1911.02972).
    """
    span = shape.attention_span or len(place_T)
    away_TS = (place_T[:, None] - place_T[None, :]).abs()[None]
    if shape.attention == "block":
        place_BT = place_T[None] if documents is None else document_places(documents)
        block_BT = place_BT // span
        return block_BT[:, :, None] == block_BT[:, None, :]
    if shape.attention == "strided":
        return (away_TS < span) | (away_TS % span == 0)
    return away_TS < span


def cross_view(documents: Tensor | None, source_documents: Tensor | None) -> View:
    """The view of a decoder on its encoder: a token sees the source with its own number, or, where one of the two has
    no numbers, all that is no padding."""
    if source_documents is None and documents is None:
        return View(causal=False)
    if source_documents is None:
        assert documents is not None
        return View(False, None, (documents == PADDING)[:, None, :, None])
    there_B1S = (source_documents != PADDING)[:, None, :]
    return _only_within(there_B1S, documents, source_documents)


def _only_within(seen_BTS: Tensor, documents: Tensor | None, source_documents: Tensor) -> View:
    if documents is not None:
        same_BTS = documents[:, :, None] == source_documents[:, None, :]
        seen_BTS = seen_BTS & same_BTS & (documents != PADDING)[:, :, None]
    blind_BT1 = ~seen_BTS.any(dim=-1, keepdim=True)
    return View(False, _scores(seen_BTS | blind_BT1), blind_BT1[:, None])


def _scores(seen_BTS: Tensor) -> Tensor:
    zeros_BTS = torch.zeros(seen_BTS.shape, device=seen_BTS.device)
    return zeros_BTS.masked_fill(~seen_BTS, float("-inf"))[:, None]
