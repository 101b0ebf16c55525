"""What a fit gives: numbers with intervals, a summary, a file."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import isoflop as iso
from isoflop.errors import UserError
from isoflop.fitting.holdout import held_out, hold_out
from isoflop.fitting.summary import significant

CHINCHILLA = "E + A / N**alpha + B / D**beta"


@pytest.fixture(scope="module")
def runs() -> iso.Runs:
    rng = np.random.default_rng(0)
    n = np.repeat(np.geomspace(1e7, 1e9, 8), 5)
    d = n * np.tile(np.geomspace(5, 80, 5), 8)
    loss = (1.7 + 400 / n**0.34 + 2000 / d**0.37) * np.exp(0.002 * rng.standard_normal(40))
    return iso.Runs({"params": n, "tokens": d, "loss": loss}, source="ladder.csv")


@pytest.fixture(scope="module")
def fit(runs: iso.Runs) -> iso.Fit:
    return iso.fit(runs, CHINCHILLA, draws=400)


def test_a_parameter_is_the_estimate_of_itself(fit: iso.Fit) -> None:
    alpha = fit.estimate(lambda v: v.alpha)
    assert alpha == fit.parameters["alpha"]
    assert alpha.value == fit.values["alpha"]
    assert alpha.low < alpha.value < alpha.high
    np.testing.assert_allclose([alpha.low, alpha.high], np.quantile(fit.draws[:, 2], [0.05, 0.95]))


def test_a_function_that_takes_no_arrays_is_mapped_draw_by_draw(fit: iso.Fit) -> None:
    by_draw = fit.estimate(lambda v: math.log(v["A"]) if v.A > 0 else 0.0)
    assert by_draw == fit.estimate(lambda v: np.log(v["A"]))


def test_a_wider_level_gives_a_wider_interval(fit: iso.Fit) -> None:
    narrow, wide = (fit.estimate(lambda v: v.beta, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    with pytest.raises(UserError, match="between 0 and 1"):
        fit.estimate(lambda v: v.beta, level=90)


def test_a_name_that_the_law_has_not_is_an_error(fit: iso.Fit) -> None:
    with pytest.raises(AttributeError, match="no parameter 'gamma'"):
        fit.estimate(lambda v: v.gamma)


def test_the_compute_optimal_exponents_add_up_to_one(fit: iso.Fit) -> None:
    assert fit.derived["a"].value + fit.derived["b"].value == pytest.approx(1)
    assert fit.derived["a"].value == pytest.approx(fit.values["beta"] / (fit.values["alpha"] + fit.values["beta"]))


def test_predictions_come_as_numbers_or_as_arrays(fit: iso.Fit) -> None:
    one = fit.predict(N=1e9, D=2e10)
    many = fit.predict(N=np.array([1e9, 2e9]), D=2e10)
    assert isinstance(one.value, float)
    assert many.value.shape == many.low.shape == (2,)
    assert (one.value, one.low, one.high) == pytest.approx((many.value[0], many.low[0], many.high[0]))
    with pytest.raises(UserError, match="reads D"):
        fit.predict(N=1e9)


def test_a_fit_comes_back_from_its_file_as_it_was(fit: iso.Fit) -> None:
    again = iso.Fit.from_json(fit.to_json())
    np.testing.assert_array_equal(again.draws, fit.draws)
    assert again.values == dict(fit.values)
    assert again.law == fit.law
    assert again.status == fit.status
    assert again.summary() == fit.summary()
    assert again.predict(N=1e10, D=2e11, of="run") == fit.predict(N=1e10, D=2e11, of="run")
    with pytest.raises(UserError, match="no runs to profile"):
        again.profile("alpha")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"schema": 99}', "not json"])
def test_a_file_that_is_no_fit_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="fit again"):
        iso.Fit.from_json(text)


def test_a_damaged_file_is_refused(fit: iso.Fit) -> None:
    record = json.loads(fit.to_json())
    record["draws"]["f8"] = record["draws"]["f8"][:-8]
    with pytest.raises(UserError, match="fit again"):
        iso.Fit.from_json(json.dumps(record))


def test_the_summary_is_read_from_the_top(fit: iso.Fit) -> None:
    lines = fit.summary().splitlines()
    assert lines[0].startswith("Status")
    assert max(map(len, lines)) <= 80
    order = [
        next(i for i, line in enumerate(lines) if line.startswith(head))
        for head in ("Status", "Law", "Runs", "Objective", "Parameter", "Derived", "Noise")
    ]
    assert order == sorted(order)
    assert any("40 of ladder.csv" in line for line in lines)
    assert any("[" in line and line.startswith("alpha") for line in lines)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.34731, 0.3206, 0.3701), ["0.347", "0.321", "0.370"]),
        ((2143.4, 1226.0, 5064.0), ["2143", "1226", "5064"]),
        ((1.8e9, 1.2e9, 2.5e9), ["1.8e+09", "1.2e+09", "2.5e+09"]),
        ((1.0, float("nan"), float("nan")), ["1", "nan", "nan"]),
    ],
)
def test_numbers_have_the_digits_that_their_interval_deserves(
    numbers: tuple[float, float, float], text: list[str]
) -> None:
    assert significant(*numbers) == text


def test_a_profile_agrees_with_the_draws_where_the_parameter_is_identified(fit: iso.Fit) -> None:
    profile = fit.profile("alpha")
    drawn = fit.parameters["alpha"]
    assert profile.low is not None
    assert profile.high is not None
    assert profile.high - profile.low == pytest.approx(drawn.high - drawn.low, rel=0.5)
    assert (profile.objective >= profile.objective.min()).all()
    assert profile.grid[np.argmin(profile.objective)] == pytest.approx(fit.values["alpha"], rel=1e-6)


def test_a_profile_has_no_end_where_the_runs_give_none() -> None:
    x = np.geomspace(0.1, 8, 30)
    loss = 3 - 0.5 * np.exp(-0.001 * x) + 0.01 * np.random.default_rng(0).standard_normal(30)
    law = iso.Law("3 - 0.5 * exp(-x / R)", R=(0.1, 1e9))
    profile = iso.fit(iso.Runs({"x": x, "loss": loss}), law, draws=0).profile("R")
    assert profile.high is None
    assert profile.low is not None
    assert "not bounded" in str(profile)


def test_a_profile_of_a_parameter_that_there_is_not_is_refused(fit: iso.Fit) -> None:
    with pytest.raises(UserError, match="no parameter gamma"):
        fit.profile("gamma")


def test_the_largest_runs_are_held_out_and_predicted(runs: iso.Runs) -> None:
    rest, largest = hold_out(runs, iso.Law(CHINCHILLA), rule="largest:0.2")
    assert (len(rest), len(largest)) == (32, 8)
    assert (largest["N"] * largest["D"]).min() >= (rest["N"] * rest["D"]).max()
    score = held_out(iso.fit(rest, CHINCHILLA, draws=400), largest)
    assert score.n_runs == 8
    assert score.error < 0.01
    assert score.coverage >= 0.75


@pytest.mark.parametrize(
    "rule", ["", "largest", "largest:2", "largest:0", "smallest:0.2", "largest:0.001", "largest:x"]
)
def test_a_holdout_that_makes_no_sense_is_refused(runs: iso.Runs, rule: str) -> None:
    with pytest.raises(UserError):
        hold_out(runs, iso.Law(CHINCHILLA), rule=rule)
