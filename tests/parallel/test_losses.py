"""The loss in chunks, and its gradients, are those of torch's cross-entropy on all logits at once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from isoflop.models import IGNORED
from isoflop.parallel import losses
from isoflop.parallel.losses import Vocabulary, losses_of_logits, sequence_losses, summed_loss

VOCAB = 11
OWN = Vocabulary(0, VOCAB)


def a_case(*, bias: bool) -> tuple[torch.Tensor, nn.Linear, torch.Tensor]:
    """Features (3, 5, 4), a head, and targets of which a whole sequence and some others are ignored."""
    draw = torch.Generator().manual_seed(0)
    features = (3 * torch.randn(3, 5, 4, generator=draw)).requires_grad_()
    head = nn.Linear(4, VOCAB, bias=bias)
    targets = torch.randint(VOCAB, (3, 5), generator=draw)
    targets[1], targets[0, 2:4] = IGNORED, IGNORED
    return features, head, targets


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("entries", [1, 4 * VOCAB, 1 << 24])
def test_loss_and_gradients_are_those_of_all_logits(bias: bool, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "ENTRIES", entries)
    features, head, targets = a_case(bias=bias)
    inputs = [features, *head.parameters()]
    expected = F.cross_entropy(head(features).flatten(0, 1), targets.flatten(), reduction="sum")
    found = summed_loss(features, head, targets, OWN)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for one, other in zip(torch.autograd.grad(2 * found, inputs), torch.autograd.grad(expected, inputs), strict=True):
        assert torch.allclose(one, 2 * other, atol=1e-5)


def test_each_sequence_has_its_own_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "ENTRIES", 2 * VOCAB)
    features, head, targets = a_case(bias=True)
    found = sequence_losses(features, head, targets, OWN)
    assert torch.allclose(found, losses_of_logits(head(features), targets), atol=1e-5)
    assert found[1] == 0.0
    with torch.no_grad():
        assert summed_loss(features, head, targets, OWN).item() == pytest.approx(found.sum().item())


def test_logits_beyond_the_range_of_exp_have_a_loss() -> None:
    features, head, targets = a_case(bias=False)
    found = summed_loss(1000 * features, head, targets, OWN)
    expected = F.cross_entropy(head(1000 * features).flatten(0, 1), targets.flatten(), reduction="sum")
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_where_nothing_is_to_be_predicted_loss_and_gradients_are_zero() -> None:
    features, head, targets = a_case(bias=True)
    loss = summed_loss(features, head, torch.full_like(targets, IGNORED), OWN)
    loss.backward()
    assert loss == 0
    assert features.grad is not None
    assert not features.grad.any()
    assert not head.weight.grad.any()
