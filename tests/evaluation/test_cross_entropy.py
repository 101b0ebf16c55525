"""Cross-entropy by rows is the plain cross-entropy, in value and in every gradient, however the rows are cut."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from isoflop.evaluation import cross_entropy as module
from isoflop.evaluation.cross_entropy import Head, cross_entropy_rows, mean_cross_entropy
from isoflop.models import IGNORED

ROWS, WIDTH, VOCAB = 50, 5, 11


def draw(dtype: torch.dtype = torch.float64, *, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, weight, bias (all of which want gradients) and targets, some of them ignored."""
    source = torch.Generator().manual_seed(0)
    sizes = ((ROWS, WIDTH), (VOCAB, WIDTH), (VOCAB,))
    parts = [torch.randn(size, generator=source, dtype=torch.float64).mul(scale).to(dtype) for size in sizes]
    targets = torch.randint(VOCAB, (ROWS,), generator=source)
    targets[::7] = IGNORED
    features, weight, bias = (part.requires_grad_() for part in parts)
    return features, weight, bias, targets


def by_hand(features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> float:
    """The mean of -log softmax over counted rows, in Python floats."""
    nats = []
    for row, target in zip(features.tolist(), targets.tolist(), strict=True):
        if target == IGNORED:
            continue
        columns = zip(weight.tolist(), bias.tolist(), strict=True)
        logits = [_dot(row, column) + b for column, b in columns]
        top = max(logits)
        nats.append(top + math.log(math.fsum(math.exp(z - top) for z in logits)) - logits[target])
    return math.fsum(nats) / len(nats)


def _dot(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


@pytest.fixture(params=[(1 << 24, 1 << 18), (20 * VOCAB, 16 * VOCAB), (VOCAB, VOCAB)], ids=["whole", "cut", "small"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many rows are held, and worked on, at once."""
    monkeypatch.setattr(module, "KEPT", request.param[0])
    monkeypatch.setattr(module, "IN_CACHE", request.param[1])


@pytest.mark.usefixtures("pieces")
def test_the_loss_is_that_of_a_plain_loop() -> None:
    features, weight, bias, targets = draw()
    found = mean_cross_entropy(features, Head(weight, bias, torch.float64), targets)
    assert found.item() == pytest.approx(by_hand(features, weight, bias, targets), rel=1e-13)


@pytest.mark.usefixtures("pieces")
def test_its_gradients_are_those_of_finite_differences() -> None:
    features, weight, bias, targets = draw()

    def loss(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return 3 * mean_cross_entropy(features, Head(weight, bias, torch.float64), targets)

    assert torch.autograd.gradcheck(loss, (features, weight, bias))


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
def test_it_agrees_with_the_plain_cross_entropy_within_rounding(dtype: torch.dtype, rounding: float) -> None:
    features, weight, bias, targets = draw(torch.float32)
    exact = [part.detach().double().requires_grad_() for part in (features, weight, bias)]
    plain = F.cross_entropy(F.linear(*exact), targets)
    plain.backward()
    found = mean_cross_entropy(features, Head(weight, bias, dtype), targets)
    found.backward()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(plain.item(), rel=rounding)
    for one, other in zip((features, weight, bias), exact, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert one.grad.dtype == torch.float32
        assert (one.grad - other.grad).norm() < rounding * other.grad.norm()


def test_only_what_is_trained_gets_a_gradient() -> None:
    features, weight, bias, targets = draw()
    weight.requires_grad_(False)
    mean_cross_entropy(features, Head(weight, bias, torch.float64), targets).backward()
    assert weight.grad is None
    assert bias.grad is not None
    assert features.grad is not None


def test_a_tied_weight_gets_the_gradients_of_both_its_uses() -> None:
    _, weight, _, targets = draw()
    inputs = torch.arange(ROWS) % VOCAB
    mean_cross_entropy(F.embedding(inputs, weight).sin(), Head(weight, None, torch.float64), targets).backward()
    other = weight.detach().clone().requires_grad_()
    F.cross_entropy(F.linear(F.embedding(inputs, other).sin(), other), targets).backward()
    torch.testing.assert_close(weight.grad, other.grad)


def test_huge_logits_neither_overflow_nor_vanish() -> None:
    features, weight, bias, targets = draw(torch.float32, scale=30.0)
    found = mean_cross_entropy(features, Head(weight, bias, torch.float32), targets)
    plain = F.cross_entropy(F.linear(features, weight, bias), targets)
    assert found.item() > 100
    assert found.item() == pytest.approx(plain.item(), rel=1e-6)


def test_with_nothing_to_predict_the_mean_does_not_exist() -> None:
    features, weight, bias, targets = draw()
    assert mean_cross_entropy(features, Head(weight, bias, torch.float64), torch.full_like(targets, IGNORED)).isnan()


def test_a_broken_feature_is_not_hidden() -> None:
    features, weight, bias, targets = draw()
    with torch.no_grad():
        features[1, 1] = math.nan
    assert mean_cross_entropy(features, Head(weight, bias, torch.float64), targets).isnan()


@pytest.mark.usefixtures("pieces")
def test_rows_one_by_one_have_the_mean_of_all() -> None:
    features, weight, bias, targets = draw()
    head = Head(weight, bias, torch.float64)
    rows = cross_entropy_rows(features, head, targets)
    assert not rows.requires_grad
    expected = F.cross_entropy(F.linear(features, weight, bias), targets, reduction="none")
    torch.testing.assert_close(rows, expected.detach())


def test_it_is_the_same_every_time() -> None:
    results = []
    for _ in range(2):
        features, weight, bias, targets = draw(torch.float32)
        mean_cross_entropy(features, Head(weight, bias, torch.float32), targets).backward()
        results.append((features.grad, weight.grad, bias.grad))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
