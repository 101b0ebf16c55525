"""The solver finds the best optimum there is, and says what it saw on the way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog, nnls

import isoflop as iso
from isoflop.fitting.evaluation import numpy_kernel
from isoflop.fitting.objectives import Absolute, Huber, Squared
from isoflop.fitting.problem import build_problem
from isoflop.fitting.scan import _bounded_least_squares, _kronecker, scan
from isoflop.fitting.solver import solve

GROUPED = "E[dataset] + A / N**alpha"
LAWS = {
    "E + A / x**alpha": {"E": 0.3, "A": 40.0, "alpha": 0.4},
    "A / x**c": {"A": 40.0, "c": 0.4},
    "a - b * log(x)": {"a": 9.0, "b": 0.3},
    "E + A / x**alpha + B / x**beta": {"E": 0.3, "A": 4.0, "alpha": 0.1, "B": 900.0, "beta": 0.9},
    "E + k * exp(-x / R)": {"E": 0.3, "k": 2.0, "R": 3e5},
    "top - k * sigmoid(s * (log(x) - m))": {"top": 3.0, "k": 2.0, "s": 0.7, "m": 13.0},
    "E + k * (log(x) - m)**2": {"E": 1.5, "k": 0.02, "m": 11.0},
    "E + (x0 / x)**p": {"E": 0.5, "x0": 3e4, "p": 0.6},
}


def curve(formula: str, values: dict[str, float], *, noise: float = 0.0, n: int = 40, seed: int = 0) -> iso.Runs:
    x = np.geomspace(1e3, 1e7, n)
    loss = iso.Law(formula).loss(values, {"x": x})
    return iso.Runs({"x": x, "loss": loss * np.exp(noise * np.random.default_rng(seed).standard_normal(n))})


@pytest.mark.parametrize(("formula", "truth"), LAWS.items())
def test_the_law_that_made_the_runs_is_found_again(formula: str, truth: dict[str, float]) -> None:
    fit = iso.fit(curve(formula, truth), formula, draws=0)
    predicted = fit.predict(x=np.geomspace(1e3, 1e7, 20)).value
    np.testing.assert_allclose(predicted, iso.Law(formula).loss(truth, {"x": np.geomspace(1e3, 1e7, 20)}), rtol=1e-6)


def test_absolute_deviations_reach_the_optimum_of_linear_programming() -> None:
    runs = curve("a - b * log(x)", {"a": 9.0, "b": 0.3}, noise=0.05)
    fit = iso.fit(runs, "a - b * log(x)", objective=Absolute(), space="raw", draws=0)
    basis = np.column_stack([np.ones(40), -np.log(runs["x"])])
    # min sum t with -t <= loss - basis v <= t
    bounds = np.block([[basis, -np.eye(40)], [-basis, -np.eye(40)]])
    cost = np.concatenate([[0.0, 0.0], np.ones(40)])
    best = linprog(
        cost, bounds, np.concatenate([runs["loss"], -runs["loss"]]), bounds=[(None, None)] * 2 + [(0, None)] * 40
    )
    assert fit.objective == pytest.approx(best.fun, rel=1e-5)


def test_least_squares_in_raw_space_are_those_of_linear_algebra() -> None:
    runs = curve("a - b * log(x)", {"a": 9.0, "b": 0.3}, noise=0.05)
    fit = iso.fit(runs, "a - b * log(x)", objective=Squared(), space="raw", draws=0)
    basis = np.column_stack([np.ones(40), -np.log(runs["x"])])
    solution, residual, _, _ = np.linalg.lstsq(basis, runs["loss"])
    np.testing.assert_allclose([fit.values["a"], fit.values["b"]], solution, rtol=1e-8)
    assert fit.objective == pytest.approx(residual[0] / 2, rel=1e-10)


def test_more_starts_find_nothing_better_on_noisy_data() -> None:
    formula, truth = "E + A / x**alpha + B / x**beta", {"E": 0.3, "A": 4.0, "alpha": 0.1, "B": 900.0, "beta": 0.9}
    runs = curve(formula, truth, noise=0.01)
    usual, thorough = (iso.fit(runs, formula, draws=0, starts=starts) for starts in (None, 8192))
    assert usual.objective <= thorough.objective * (1 + 1e-9)


def test_the_certificate_tells_of_a_second_optimum() -> None:
    x = np.geomspace(1e3, 1e6, 60)
    dips = 0.9 * np.exp(-((np.log(x) - 8) ** 2) / 0.1) + np.exp(-((np.log(x) - 12) ** 2) / 0.1)
    law = iso.Law("E - k * exp(-(log(x) - m)**2 / 0.1)", m=(7, 14))
    fit = iso.fit(iso.Runs({"x": x, "loss": 3 - dips}), law, draws=0, objective=Squared())
    assert fit.values["m"] == pytest.approx(12, abs=0.01)
    assert fit.certificate.agree < fit.certificate.polishes
    assert fit.certificate.next_best is not None
    assert fit.certificate.next_best > fit.objective
    assert "next best optimum" in fit.status[0].message


def test_the_sum_is_minimised_so_repeating_every_run_doubles_the_objective() -> None:
    runs = curve("E + A / x**alpha", {"E": 0.3, "A": 40.0, "alpha": 0.4}, noise=0.01)
    twice = iso.Runs({name: np.tile(runs[name], 2) for name in runs})
    one, two = (iso.fit(table, "E + A / x**alpha", draws=0) for table in (runs, twice))
    assert two.objective == pytest.approx(2 * one.objective, rel=1e-9)
    assert two.values["alpha"] == pytest.approx(one.values["alpha"], rel=1e-6)


def test_no_parameter_leaves_its_range() -> None:
    runs = curve("E + A / x**alpha", {"E": 0.3, "A": 40.0, "alpha": 0.4}, noise=0.01)
    fit = iso.fit(runs, iso.Law("E + A / x**alpha", alpha=(0.5, 1.0), E=(0.0, 0.1)), draws=200)
    assert 0.5 <= fit.values["alpha"] <= 1.0
    assert ((fit.draws >= [0.0, 0.0, 0.5]) & (fit.draws <= [0.1, np.inf, 1.0])).all()
    assert "at_bound" in {one.code for one in fit.status}


def test_each_group_has_its_own_floor_and_all_share_the_exponent() -> None:
    x = np.tile(np.geomspace(1e6, 1e9, 8), 3)
    group = np.repeat(["c4", "pile", "web"], 8)
    truth = {"E[c4]": 1.2, "E[pile]": 1.5, "E[web]": 2.0, "A": 50.0, "alpha": 0.3}
    loss = iso.Law(GROUPED).loss(truth, {"N": x, "dataset": group})
    fit = iso.fit(iso.Runs({"params": x, "loss": loss, "dataset": group}), GROUPED, draws=100)
    for name, value in truth.items():
        assert fit.values[name] == pytest.approx(value, rel=1e-5)
    assert fit.predict(N=1e10, dataset="pile").value == pytest.approx(1.5 + 50 / 1e10**0.3, rel=1e-5)
    assert "one per dataset" in fit.summary()


def test_weights_are_as_good_as_repeats() -> None:
    runs = curve("E + A / x**alpha", {"E": 0.3, "A": 40.0, "alpha": 0.4}, noise=0.01)
    counts = np.random.default_rng(0).integers(0, 3, 40)
    repeated = runs.take(np.repeat(np.arange(40), counts))
    weighted = iso.fit(runs, "E + A / x**alpha", draws=0, weights=counts)
    assert weighted.objective == pytest.approx(iso.fit(repeated, "E + A / x**alpha", draws=0).objective, rel=1e-9)


def test_the_scan_is_even() -> None:
    points = _kronecker(1024, 2)
    counts = np.histogram2d(*points.T, bins=16, range=[[0, 1], [0, 1]])[0]
    assert counts.min() >= 2
    assert counts.max() <= 7


def test_linear_parameters_of_the_scan_are_those_of_non_negative_least_squares() -> None:
    rng = np.random.default_rng(0)
    basis, goal = rng.random((50, 3, 20)), rng.random((50, 20))
    found = _bounded_least_squares(basis, goal, np.ones(20), np.zeros(3), np.full(3, np.inf))
    for one, x, y in zip(found, basis, goal, strict=True):
        best = nnls(x.T, y)[1]
        assert np.linalg.norm(y - one @ x) <= best * 1.02
        assert (one >= 0).all()


def test_starts_come_best_first_and_within_range() -> None:
    runs = curve("E + A / x**alpha", {"E": 0.3, "A": 40.0, "alpha": 0.4}, noise=0.01)
    problem = build_problem(iso.Law("E + A / x**alpha"), runs, target="loss", objective=Huber(), space="log")
    theta = scan(problem, 256, 8)
    assert ((theta >= problem.low) & (theta <= problem.high)).all()
    assert solve(problem, numpy_kernel).certificate.agree >= 3
