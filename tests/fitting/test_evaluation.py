"""The sums that the solver works on: right by finite differences, the same compiled and in numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import isoflop as iso
from isoflop.fitting.compiled import compiled_kernel, numba_is_there
from isoflop.fitting.evaluation import Batch, evaluate, jacobian, numpy_kernel
from isoflop.fitting.objectives import Absolute, Asymmetric, Huber, Objective, Squared
from isoflop.fitting.problem import Problem, Space, build_problem
from isoflop.fitting.vector_math import exp, log, sigmoid, tanh

CHINCHILLA = iso.Law("E + A / N**alpha + B / D**beta")
GROUPED = iso.Law("E[dataset] + A / N**alpha[dataset] + B / D**beta")
MIXED = iso.Law("max(E, 0.1) + A * sigmoid(s * (2 - log(N) / 8)) + tanh(B / D**beta) + sqrt(abs(c)) * min(N, D) / N")


def problem_of(law: iso.Law, objective: Objective = Huber(0.05), space: Space = "log") -> Problem:
    rng = np.random.default_rng(0)
    n = np.exp(rng.uniform(14, 20, 30))
    d = n * np.exp(rng.uniform(1, 5, 30))
    columns = {"params": n, "tokens": d, "loss": 1.7 + 40 / n**0.3 + 60 / d**0.3 + 0.2 * rng.standard_normal(30)}
    runs = iso.Runs({**columns, "dataset": np.resize(["c4", "pile", "web"], 30)})
    problem = build_problem(law, runs, target="loss", objective=objective, space=space)
    return replace(problem, weights=rng.uniform(0.5, 2, 30))


def some_points(problem: Problem, count: int = 4) -> np.ndarray:
    rng = np.random.default_rng(1)
    roles = {"E": 1.7, "A": 40.0, "B": 60.0, "alpha": 0.3, "beta": 0.3, "s": 1.1, "c": 0.4}
    values = np.array([roles[name.split("[")[0]] for name in problem.names])
    return problem.coordinates(values * rng.uniform(0.8, 1.2, (count, len(values))))


@pytest.mark.parametrize("law", [CHINCHILLA, GROUPED, MIXED], ids=["plain", "grouped", "functions"])
@pytest.mark.parametrize("space", ["log", "raw"])
def test_gradient_and_hessian_are_those_of_finite_differences(law: iso.Law, space: Space) -> None:
    problem = problem_of(law, Asymmetric(0.05, 0.4), space)
    theta = some_points(problem)
    batch = Batch.of_one(problem, numpy_kernel)

    def at(point: np.ndarray):  # type: ignore[no-untyped-def]
        return evaluate(batch, point, which=batch.members(len(point)), delta=problem.penalty.delta)

    here = at(theta)
    for flat in range(theta.shape[1]):
        step = np.zeros(theta.shape[1])
        step[flat] = 1e-6
        up, down = at(theta + step), at(theta - step)
        np.testing.assert_allclose(here.gradient[:, flat], (up.value - down.value) / 2e-6, rtol=2e-5, atol=1e-7)
        # A step may carry a run over the kink of the penalty, where its second derivative jumps.
        np.testing.assert_allclose(here.hessian[:, flat], (up.gradient - down.gradient) / 2e-6, rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(not numba_is_there(), reason="no numba")
@pytest.mark.parametrize("objective", [Huber(), Squared(), Absolute(), Asymmetric()])
@pytest.mark.parametrize("law", [CHINCHILLA, GROUPED, MIXED], ids=["plain", "grouped", "functions"])
def test_compiled_code_gives_the_sums_of_numpy(law: iso.Law, objective: Objective) -> None:
    problem = problem_of(law, objective)
    theta = some_points(problem, 6)
    rng = np.random.default_rng(2)
    weights, noise = rng.integers(0, 3, (6, problem.n)).astype(float), rng.normal(0, 0.1, (6, problem.n))
    batch = Batch(problem, numpy_kernel, weights, problem.target + noise)
    values, which, delta = problem.values(theta), rng.permutation(6), problem.penalty.delta
    ours, theirs = (kernel(batch, values, which, delta) for kernel in (compiled_kernel, numpy_kernel))
    for compiled, plain in zip(ours, theirs, strict=True):
        scale = np.abs(plain).max()
        np.testing.assert_allclose(compiled, plain, rtol=1e-9, atol=1e-11 * scale)


def test_the_jacobian_is_that_of_finite_differences() -> None:
    problem = problem_of(GROUPED)
    theta = some_points(problem, 1)[0]
    slopes = jacobian(problem, theta)
    for flat in range(len(theta)):
        step = np.zeros(len(theta))
        step[flat] = 1e-6
        change = problem.predicted((theta + step)[None]) - problem.predicted((theta - step)[None])
        np.testing.assert_allclose(slopes[:, flat], change[0] / 2e-6, rtol=1e-5, atol=1e-8)


def test_where_the_law_is_not_finite_the_objective_is_infinite() -> None:
    law = iso.Law("E + A * log(D - N * s)")
    problem = problem_of(law)
    theta = problem.coordinates(np.array([[1.0, 1.0, 1e6]]))
    batch = Batch.of_one(problem, numpy_kernel)
    point = evaluate(batch, theta, which=batch.members(1), delta=0.1)
    assert point.value[0] == np.inf


def test_integer_weights_stand_for_repeated_runs() -> None:
    problem = problem_of(CHINCHILLA)
    counts = np.random.default_rng(3).integers(0, 3, problem.n)
    repeated = replace(problem, weights=np.ones(problem.n)).take(np.repeat(np.arange(problem.n), counts))
    theta, which = some_points(problem, 1), np.zeros(1, dtype=np.intp)
    weighted = Batch(problem, numpy_kernel, counts[None].astype(float), problem.target[None])
    one = evaluate(weighted, theta, which=which, delta=0.05)
    other = evaluate(Batch.of_one(repeated, numpy_kernel), theta, which=which, delta=0.05)
    np.testing.assert_allclose(one.value, other.value, rtol=1e-12)
    np.testing.assert_allclose(one.hessian, other.hessian, rtol=1e-10)


@pytest.mark.skipif(not numba_is_there(), reason="no numba")
def test_vector_functions_are_those_of_the_c_library() -> None:
    x = np.concatenate([np.linspace(-700, 700, 20_001), np.geomspace(1e-12, 1, 200)])
    np.testing.assert_allclose([exp(one) for one in x], np.exp(x), rtol=1e-15)
    positive = np.concatenate([np.geomspace(1e-300, 1e300, 20_001), 1 + np.linspace(-0.01, 0.01, 501)])
    np.testing.assert_allclose([log(one) for one in positive], np.log(positive), rtol=1e-15, atol=1e-17)
    small = np.linspace(-20, 20, 4_001)
    np.testing.assert_allclose([tanh(one) for one in small], np.tanh(small), rtol=1e-13, atol=2e-16)
    np.testing.assert_allclose([sigmoid(one) for one in small], 1 / (1 + np.exp(-small)), rtol=1e-14)
    assert np.isnan([log(-1.0), log(0.0), log(np.inf), log(np.nan), exp(np.nan)]).all()
