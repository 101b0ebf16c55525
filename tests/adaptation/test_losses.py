"""Losses of logits and answers against torch's own, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from isoflop.adaptation.losses import AnswerLoss, weights_in
from isoflop.errors import UserError
from isoflop.models import IGNORED

DRAW = torch.Generator().manual_seed(0)
LOGITS_NK = 3 * torch.randn(40, 5, generator=DRAW)
ANSWERS_N = torch.randint(0, 5, (40,), generator=DRAW)
WEIGHT_K = torch.tensor([0.5, 1.0, 2.0, 0.1, 3.0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_smoothed_labels_are_those_of_torch(smoothing: float) -> None:
    expected = F.cross_entropy(LOGITS_NK, ANSWERS_N, label_smoothing=smoothing)
    torch.testing.assert_close(AnswerLoss(smoothing)(LOGITS_NK, ANSWERS_N), expected)


def test_weights_are_those_of_torch_over_the_number_of_answers() -> None:
    expected = F.cross_entropy(LOGITS_NK, ANSWERS_N, weight=WEIGHT_K, reduction="sum") / 40
    torch.testing.assert_close(AnswerLoss()(LOGITS_NK, ANSWERS_N, WEIGHT_K), expected)


def test_focal_loss_is_the_equation_and_zero_gamma_the_cross_entropy() -> None:
    p_N = torch.softmax(LOGITS_NK, dim=1)[torch.arange(40), ANSWERS_N]
    torch.testing.assert_close(AnswerLoss(focal=2)(LOGITS_NK, ANSWERS_N), (-((1 - p_N) ** 2) * p_N.log()).mean())
    sure = torch.tensor([[80.0, 0.0]], requires_grad=True)  # 1 − p is 0 in float32
    AnswerLoss(focal=0.5)(sure, torch.tensor([0])).backward()
    assert sure.grad is not None
    assert sure.grad.isfinite().all()


def test_ignored_answers_count_nothing() -> None:
    some_N = ANSWERS_N.clone()
    some_N[10:] = IGNORED
    for loss in (AnswerLoss(0.1), AnswerLoss(focal=1.0)):
        torch.testing.assert_close(loss(LOGITS_NK, some_N), loss(LOGITS_NK[:10], ANSWERS_N[:10]))


def test_balanced_weights_make_every_label_count_the_same() -> None:
    weight_K = AnswerLoss(weights="balanced").weight_of(("a", "b"), [30, 10])
    assert weight_K is not None
    assert (weight_K * torch.tensor([30.0, 10.0])).tolist() == pytest.approx([20, 20])


def test_given_weights_are_by_label() -> None:
    loss = AnswerLoss(weights=weights_in("b=2.5,c=0.5"))
    weight_K = loss.weight_of(("a", "b", "c"), [1, 1, 1])
    assert weight_K is not None
    assert weight_K.tolist() == [1.0, 2.5, 0.5]
    assert weights_in("") == ()
    assert AnswerLoss(weights=weights_in("")).is_plain
    assert AnswerLoss().weight_of((), []) is None


@pytest.mark.parametrize(
    ("text", "labels", "sentence"),
    [
        ("even", ("a",), "write balanced, or LABEL=WEIGHT"),
        ("a=x", ("a",), "write LABEL=WEIGHT"),
        ("a=0", ("a",), "above 0"),
        ("d=2", ("a", "b"), "'d', which is no label: they are a, b"),
        ("balanced", (), "tasks whose answers are labels"),
    ],
)
def test_weights_that_cannot_be_are_refused(text: str, labels: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        AnswerLoss(weights=weights_in(text)).weight_of(labels, [1] * len(labels))


@pytest.mark.parametrize(("settings", "flag"), [({"smoothing": 1.0}, "--label-smoothing"), ({"focal": -1}, "--focal")])
def test_a_loss_that_cannot_be_is_refused_by_its_flag(settings: Any, flag: str) -> None:
    with pytest.raises(UserError, match=flag):
        AnswerLoss(**settings)
