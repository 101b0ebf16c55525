"""The average of the weights is its formula, and looking at it leaves the training weights alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from isoflop.errors import UserError
from isoflop.training.averaging import WeightAverage


def test_it_is_the_formula_in_plain_python() -> None:
    model = nn.Linear(1, 1, bias=False)
    average, expected = WeightAverage(model, 0.5), model.weight.item()
    for step in range(1, 30):
        with torch.no_grad():
            model.weight.fill_(step**0.5)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step**0.5
    assert average.values[0].item() == pytest.approx(expected, rel=1e-6)


def test_the_model_has_the_averages_inside_and_its_own_weights_afterwards() -> None:
    model = nn.Linear(2, 2)
    average = WeightAverage(model, 0.9)
    own = [torch.full_like(p, 3.0) for p in model.parameters()]
    for parameter, value in zip(model.parameters(), own, strict=True):
        parameter.data.copy_(value)
    first = average.state()
    with average.in_place():
        assert all((p == v).all() for p, v in zip(model.parameters(), first, strict=True))
    assert all((p == v).all() for p, v in zip(model.parameters(), own, strict=True))
    assert all((a == v).all() for a, v in zip(average.values, first, strict=True))


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_a_decay_that_is_none_is_refused(decay: float) -> None:
    with pytest.raises(UserError, match=r"train\.ema"):
        WeightAverage(nn.Linear(1, 1), decay)
