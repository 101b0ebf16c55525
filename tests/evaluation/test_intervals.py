"""Intervals cover as often as they say, agree with scipy's, and paired tests are wrong as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from isoflop.errors import UserError
from isoflop.evaluation.intervals import Resampling, bootstrap_interval, mean, paired_test, ratio

QUICK = Resampling(draws=1_000)


def expanded(count: int) -> float:
    """The level of a plain bootstrap that is as wide as ours of 95 % for so many examples."""
    return float(2 * stats.norm.cdf(stats.t.ppf(0.975, count - 1) * np.sqrt(count / (count - 1))) - 1)


def f1(means: np.ndarray) -> np.ndarray:
    """Of counts of hits, of what was taken, and of what was there."""
    return 2 * means[..., 0] / np.maximum(means[..., 1] + means[..., 2], 1e-12)


def f1_rows(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    return np.stack([truth & guess, guess, truth], axis=1).astype(float)


def test_an_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).lognormal(size=60)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, rng=np.random.default_rng(1), confidence_level=expanded(60)
    ).confidence_interval
    ours = bootstrap_interval(values, resampling=Resampling(draws=20_000))
    assert ours.value == pytest.approx(values.mean())
    spread = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * spread)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * spread)


def test_a_figure_of_several_columns_is_that_of_scipy() -> None:
    draw = np.random.default_rng(2)
    tokens = draw.integers(5, 200, 80).astype(float)
    rows = np.stack([tokens * draw.gamma(4, 0.8, 80), tokens], axis=1)
    theirs = stats.bootstrap(
        (rows[:, 0], rows[:, 1]),
        lambda x, y, axis: x.sum(axis) / y.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        confidence_level=expanded(80),
        rng=np.random.default_rng(3),
    ).confidence_interval
    ours = bootstrap_interval(rows, ratio, resampling=Resampling(draws=20_000))
    assert ours.value == pytest.approx(rows[:, 0].sum() / rows[:, 1].sum())
    spread = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * spread)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * spread)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.arange(30.0)
    assert bootstrap_interval(values, resampling=QUICK) == bootstrap_interval(values, resampling=QUICK)
    assert bootstrap_interval(values, resampling=Resampling(draws=1_000, seed=1)) != bootstrap_interval(
        values, resampling=QUICK
    )


@pytest.mark.parametrize("values", [[1.0], [1.0] * 20])
def test_examples_that_do_not_differ_have_no_interval(values: list[float]) -> None:
    found = bootstrap_interval(values)
    assert (found.value, found.low, found.high) == (1.0, None, None)


@pytest.mark.parametrize("values", [[], [[[1.0]]], [1.0, float("nan")]])
def test_what_is_no_row_of_numbers_is_told(values: list[float]) -> None:
    with pytest.raises(UserError):
        bootstrap_interval(values)


def test_accuracies_are_compared_by_mcnemars_exact_test() -> None:
    a = np.array([1] * 12 + [0] * 3 + [1] * 85)
    b = np.array([0] * 12 + [1] * 3 + [1] * 85)
    found = paired_test(a, b)
    assert found.p_value == pytest.approx(2 * stats.binom.cdf(3, 15, 0.5))
    assert found.difference.value == pytest.approx(0.09)
    assert "McNemar" in found.test


def test_two_models_that_always_agree_do_not_differ() -> None:
    found = paired_test([1, 0, 1], [1, 0, 1])
    assert (found.difference.value, found.p_value) == (0.0, 1.0)


def test_randomisation_is_scipys_permutation_test() -> None:
    draw = np.random.default_rng(4)
    a = draw.normal(size=9)
    b = a + draw.normal(0.3, 0.6, 9)
    exact = stats.permutation_test(
        (a, b), lambda x, y, axis: x.mean(axis) - y.mean(axis), permutation_type="samples", vectorized=True
    )
    found = paired_test(a, b, resampling=Resampling(draws=20_000))
    assert found.p_value == pytest.approx(exact.pvalue, abs=0.015)


def test_an_obvious_difference_in_f1_is_seen_and_none_is_not() -> None:
    draw = np.random.default_rng(5)
    truth = draw.random(400) < 0.3
    good, bad = truth ^ (draw.random(400) < 0.05), truth ^ (draw.random(400) < 0.25)
    found = paired_test(f1_rows(truth, good), f1_rows(truth, bad), f1, resampling=QUICK)
    assert found.p_value < 0.01
    assert found.difference.low is not None
    assert found.difference.low > 0
    other = truth ^ np.roll(truth ^ good, 7)
    assert paired_test(f1_rows(truth, good), f1_rows(truth, other), f1, resampling=QUICK).p_value > 0.05


def test_other_examples_can_not_be_paired() -> None:
    with pytest.raises(UserError, match="3 and 2"):
        paired_test([1, 0, 1], [1, 0])


def _covers(kind: str, draw: np.random.Generator, how: Resampling) -> bool:
    """Whether the interval of one simulated data set holds the truth."""
    if kind == "normal, 30":
        truth, found = 0.0, bootstrap_interval(draw.normal(size=30), resampling=how)
    elif kind == "accuracy 0.87, 200":
        truth, found = 0.87, bootstrap_interval(draw.random(200) < 0.87, resampling=how)
    elif kind == "nats over tokens, 50":
        tokens = draw.integers(20, 400, 50).astype(float)
        rows = np.stack([tokens * draw.gamma(9, 1 / 3, 50), tokens], axis=1)
        truth, found = 3.0, bootstrap_interval(rows, ratio, resampling=how)
    else:
        there = draw.random(150) < 0.3
        guess = np.where(draw.random(150) < 0.1, ~there, there)
        truth, found = 2 * 0.27 / (0.27 + 0.07 + 0.3), bootstrap_interval(f1_rows(there, guess), f1, resampling=how)
    assert found.low is not None
    assert found.high is not None
    return found.low <= truth <= found.high


KINDS = ("normal, 30", "accuracy 0.87, 200", "nats over tokens, 50", "F1, 150")


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_about_as_often_as_they_say(kind: str) -> None:
    draw = np.random.default_rng(6)
    covered = np.mean([_covers(kind, draw, Resampling(draws=400)) for _ in range(300)])
    assert 0.90 <= covered <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_as_often_as_they_say(kind: str) -> None:
    draw = np.random.default_rng(7)
    covered = np.mean([_covers(kind, draw, Resampling(draws=1_000)) for _ in range(2_000)])
    print(f"{kind}: {covered:.4f}")
    assert 0.93 <= covered <= 0.965


@pytest.mark.parametrize("figure", [mean, f1])
def test_equal_models_are_told_apart_as_seldom_as_the_level_says(figure: object) -> None:
    draw = np.random.default_rng(8)
    found = []
    for _ in range(300):
        truth = draw.random(80) < 0.4
        a, b = (truth ^ (draw.random(80) < 0.2) for _ in range(2))
        if figure is mean:
            rows = [(truth == one).astype(float) + 0.5 for one in (a, b)]  # not binary: randomisation
            found.append(paired_test(*rows, resampling=Resampling(draws=300)).p_value)
        else:
            rows = f1_rows(truth, a), f1_rows(truth, b)
            found.append(paired_test(*rows, f1, resampling=Resampling(draws=300)).p_value)
    assert 0.015 <= np.mean(np.array(found) < 0.05) <= 0.085
