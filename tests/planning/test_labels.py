"""Prices of labels follow from the law, and where a fit does not tell them, no number is given."""

from __future__ import annotations

import numpy as np
import pytest

from isoflop.fitting import Fit, fit
from isoflop.laws import Law
from isoflop.planning.labels import CURVES, cheaper, curve_of, exchange, labels_for
from isoflop.runs import Runs

SIZES = (100, 300, 1000, 3000, 10_000, 30_000)
MODELS = {"small": (0.15, 2.0), "big": (0.10, 1.6)}
ALPHA = 0.45


def curves(*, noise: float, floor: float = 0.0) -> Fit:
    draw = np.random.default_rng(3)
    rows = [
        (model, n, (E + floor + A / n**ALPHA) * np.exp(noise * draw.standard_normal()))
        for model, (E, A) in MODELS.items()
        for n in SIZES
        for _ in range(3)
    ]
    model, n, error = zip(*rows, strict=True)
    runs = Runs({"model": model, "finetuning_examples": n, "error": error})
    law = Law(CURVES, variables=("finetuning_examples",))
    return fit(runs, law, target="error", draws=300)


@pytest.fixture(scope="module")
def exact() -> Fit:
    return curves(noise=0.003)


@pytest.mark.parametrize("model", MODELS)
def test_the_price_is_that_of_the_true_law(exact: Fit, model: str) -> None:
    _, A = MODELS[model]
    rest = A / 30_000**ALPHA
    wanted = (A / (rest - 0.005)) ** (1 / ALPHA) - 30_000
    price = labels_for(exact, labels=30_000, gain=0.005, model=model)
    assert price.amount is not None
    assert price.amount.low < wanted < price.amount.high
    assert price.amount.value == pytest.approx(wanted, rel=0.2)
    assert price.sentence.endswith("more labels")


def test_a_gain_below_the_law_s_floor_has_no_price(exact: Fit) -> None:
    price = labels_for(exact, labels=30_000, gain=0.05, model="big")
    assert price.amount is None
    assert price.sentence == "cannot say: no number of more labels is enough, as this law has it"


def test_a_noisy_fit_says_that_perhaps_no_number_is_enough() -> None:
    price = labels_for(curves(noise=0.15), labels=30_000, gain=0.01, model="big")
    assert price.amount is None
    assert price.sentence.startswith("cannot say: ")


def test_one_model_has_a_law_without_groups() -> None:
    assert "[" not in curve_of(1)
    assert curve_of(2) == CURVES


@pytest.fixture(scope="module")
def joint() -> Fit:
    draw = np.random.default_rng(4)
    points = [(x, n) for x in (1e12, 1e13, 1e14, 1e15) for n in SIZES]
    error = [(0.08 + 60 / (x**0.15 * n**0.3)) * np.exp(0.003 * draw.standard_normal()) for x, n in points]
    x, n = zip(*points, strict=True)
    return fit(Runs({"x": x, "finetuning_examples": n, "error": error}), "finetuning", target="error", draws=300)


def test_the_next_label_is_worth_what_the_exponents_say(joint: Fit) -> None:
    found = exchange(joint, labels=30_000, flops=1e15, gain=0.005)
    worth = found.flops_per_label.amount
    assert worth is not None
    assert worth.low < 0.3 / 0.15 * 1e15 / 30_000 < worth.high
    assert found.labels.amount is not None
    assert found.flops.amount is not None


def test_prices_decide_unless_they_lie_inside_the_interval(joint: Fit) -> None:
    worth = exchange(joint, labels=30_000, flops=1e15, gain=0.005).flops_per_label
    assert worth.amount is not None
    assert cheaper(worth, usd_per_label=0.001, usd_per_flop=1e-12).startswith("label more: ")
    assert cheaper(worth, usd_per_label=10.0, usd_per_flop=1e-12).startswith("pretrain more: ")
    same = worth.amount.value
    assert cheaper(worth, usd_per_label=same * 1e-12, usd_per_flop=1e-12).startswith("cannot say: ")


def test_where_pretraining_does_not_help_nothing_is_said_of_its_worth() -> None:
    draw = np.random.default_rng(5)
    points = [(x, n) for x in (1e12, 1e13, 1e14) for n in SIZES]
    x, n = (np.array(column) for column in zip(*points, strict=True))
    error = (0.1 + 1.6 / n**ALPHA) * np.exp(0.03 * draw.standard_normal(len(n)))
    law = fit(Runs({"x": x, "finetuning_examples": n, "error": error}), "finetuning", target="error", draws=300)
    found = exchange(law, labels=30_000, flops=1e14, gain=0.005)
    assert found.flops_per_label.amount is None
    assert "more pretraining is not seen to lower the error" in found.flops_per_label.sentence
    assert cheaper(found.flops_per_label, usd_per_label=1.0, usd_per_flop=1e-9) == found.flops_per_label.sentence
