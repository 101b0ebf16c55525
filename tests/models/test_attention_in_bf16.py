"""Attention by matrix products, which bf16 on a processor uses, is attention within bf16's rounding."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from isoflop.models import attention as module
from isoflop.models.attention import attend
from isoflop.models.masks import View

BATCH, LENGTH, SIZE = 2, 12, 8
ROUNDING = 0.02


def draw(heads: int) -> Tensor:
    return torch.randn(BATCH, heads, LENGTH, SIZE, generator=torch.Generator().manual_seed(heads)).requires_grad_()


def views() -> dict[str, View]:
    scores = torch.randn(BATCH, 1, LENGTH, LENGTH, generator=torch.Generator().manual_seed(9))
    scores[:, :, :, 5:] = -torch.inf
    blind = torch.zeros(BATCH, 1, LENGTH, 1, dtype=torch.bool)
    blind[0, :, 3] = True
    return {
        "causal": View(True),
        "open": View(False),
        "scores": View(True, scores),
        "blind": View(False, scores, blind),
    }


@pytest.mark.parametrize("view", views().values(), ids=views())
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_values_and_gradients_are_those_of_fp32_within_rounding(view: View, kv_heads: int) -> None:
    exact = [draw(heads) for heads in (4, kv_heads, kv_heads)]
    low = [part.detach().clone().requires_grad_() for part in exact]
    slope = draw(4).detach()
    expected = attend(*exact, view=view, scale=0.3)
    expected.backward(slope)
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(*low, view=view, scale=0.3)
    found.float().backward(slope)
    assert found.dtype == torch.bfloat16
    assert (found - expected).norm() < ROUNDING * expected.norm()
    for one, other in zip(low, exact, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert (one.grad - other.grad).norm() < ROUNDING * other.grad.norm()


def test_exact_training_and_long_sequences_keep_torchs_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    own = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *args, **more: calls.append(1) or own(*args, **more))
    q, k, v = (draw(2) for _ in range(3))
    attend(q, k, v, view=View(True), scale=0.3)
    assert len(calls) == 1
    with torch.autocast("cpu", torch.bfloat16):
        attend(q, k, v, view=View(True), scale=0.3)
        assert len(calls) == 1
        monkeypatch.setattr(module, "SHORT", LENGTH * LENGTH - 1)
        attend(q, k, v, view=View(True), scale=0.3)
    assert len(calls) == 2
