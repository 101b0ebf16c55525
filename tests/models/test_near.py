"""Attention in blocks is attention under the whole mask: values, gradients, and rows that see nothing."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from isoflop.models.attention import attend
from isoflop.models.masks import self_view
from isoflop.models.near import near_view
from isoflop.shapes import ModelShape

SHAPE = ModelShape(layers=1, width=16, heads=4, kv_heads=2, vocab=11, context=40, ffn=12)
DOCUMENTS = torch.tensor([[1] * 9 + [2] * 17 + [0] * 14, [3] * 37 + [0] * 3])


@pytest.mark.parametrize("prefix", [None, torch.tensor([3, 11])])
@pytest.mark.parametrize("documents", [None, DOCUMENTS, DOCUMENTS[:, :37]])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("attention", "span"), [("window", 1), ("window", 5), ("block", 4), ("block", 6)])
def test_blocks_give_what_the_whole_mask_gives(attention: str, span: int, causal: bool, documents, prefix) -> None:
    shape = dataclasses.replace(SHAPE, attention=attention, attention_span=span)
    length = 40 if documents is None else documents.shape[1]
    tokens = torch.zeros(2, length, dtype=torch.long)
    asked = {"causal": causal, "documents": documents, "prefix": prefix if causal else None}
    near = near_view(shape, tokens, **asked)
    assert near is not None
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn((2, heads, length, 4), generator=generator, dtype=torch.float64, requires_grad=True)
        for heads in (4, 2, 2)
    )
    found, expected = (attend(q, k, v, view=view, scale=0.6) for view in (near, self_view(shape, tokens, **asked)))
    assert torch.allclose(found, expected, atol=1e-12)
    towards = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    grads, expected_grads = (torch.autograd.grad((y * towards).sum(), (q, k, v)) for y in (found, expected))
    for one, other in zip(grads, expected_grads, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(("attention", "span"), [("full", None), ("strided", 4), ("window", 11), ("block", 21)])
def test_other_patterns_and_short_sequences_take_the_whole_mask(attention: str, span: int | None) -> None:
    shape = dataclasses.replace(SHAPE, attention=attention, attention_span=span)
    assert near_view(shape, torch.zeros(2, 40), causal=True) is None
