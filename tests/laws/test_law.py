"""Everything about a law follows from its formula."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from isoflop.errors import UserError
from isoflop.laws import Law
from isoflop.laws.program import argument_names, columns_for, numpy_function
from isoflop.laws.statements import cache_folder
from isoflop.laws.writing import text_with_numbers

CHINCHILLA = "E + A / N**alpha + B / D**beta"
FORMULAS = {
    CHINCHILLA: ("E", "A", "B"),
    "((Nc / N)**(a / b) + Dc / D)**b": (),
    "a * x**-c0 * (1 + (x / d1)**(1 / f1))**(-c1 * f1) + b": ("a", "b"),
    "k * N**a * D**b": ("k",),
    "a + b * log(N) + c * log(N)**2": ("a", "b", "c"),
    "top - k * exp(-gamma * L)": ("top", "k"),
    "low + (high - low) * sigmoid(s * (L - mid))": ("low", "high"),
    "E + A / N**alpha + B / (min(D, U) * (1 + R * (1 - exp(-max(D / U - 1, 0) / R))))**beta": ("E", "A", "B"),
    "E + A * sqrt(abs(x - m)) * tanh(s * x)": ("E", "A"),
    "A * (1 / x + gamma)**c": ("A",),
    "E + (0.35 / 1.5)**(1 / 0.35) * x**a + 0.5**0.7 * sigmoid(0.3) + tanh(0.2) + abs(-0.5)": ("E",),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path))


def some_values(law: Law) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    values = {name: float(rng.uniform(0.3, 1.5)) for name in law.names}
    return values, {name: rng.uniform(2.0, 5.0, 4) for name in law.variables}


@pytest.mark.parametrize(("formula", "linear"), FORMULAS.items())
def test_the_linear_parameters_are_found(formula: str, linear: tuple[str, ...]) -> None:
    assert Law(formula).linear == linear


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_law_is_what_python_makes_of_the_formula(formula: str) -> None:
    law = Law(formula)
    values, columns = some_values(law)
    functions = {name: getattr(np, name) for name in ("exp", "log", "sqrt", "abs", "tanh", "minimum", "maximum")}
    functions |= {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "min": np.minimum, "max": np.maximum}
    np.testing.assert_allclose(law.loss(values, columns), eval(formula, functions | values | columns), rtol=1e-12)


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_derived_value_is_the_law_itself(formula: str) -> None:
    law = Law(formula)
    values, columns = some_values(law)
    derived = law.derivatives
    generated = numpy_function(argument_names(law.names, law.variables), derived.lets, (derived.value,))
    (value,) = generated(*values.values(), *columns_for({name: columns[name] for name in law.variables}))
    np.testing.assert_allclose(value, law.loss(values, columns), rtol=1e-12)


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_gradient_is_that_of_finite_differences(formula: str) -> None:
    law = Law(formula)
    values, columns = some_values(law)
    gradient = law.gradient(values, columns)
    for name, value in values.items():
        up, down = law.loss({**values, name: value + 1e-6}, columns), law.loss({**values, name: value - 1e-6}, columns)
        np.testing.assert_allclose(gradient[name], (up - down) / 2e-6, rtol=1e-5, atol=1e-8)


def test_draws_and_rows_are_both_vectorised() -> None:
    law = Law(CHINCHILLA)
    draws = {name: np.linspace(0.5, 1.5, 7) for name in law.names}
    columns = {"N": np.geomspace(1e6, 1e9, 3), "D": np.geomspace(1e7, 1e9, 3)}
    table = law.loss(draws, columns)
    assert table.shape == (7, 3)
    one = law.loss({name: column[4] for name, column in draws.items()}, columns)
    np.testing.assert_allclose(table[4], one)
    assert law.loss(draws, {"N": 1e9, "D": 1e9}).shape == (7,)
    assert law.loss(dict.fromkeys(law.names, 1.0), {"N": 1e9, "D": 1e9}).shape == ()


def test_a_zero_column_gives_zero_for_its_power_and_no_nan_in_the_gradient() -> None:
    law = Law("E + A * x**p", p=(0, 2))
    columns = {"x": np.array([0.0, 1.0])}
    np.testing.assert_allclose(law.loss({"E": 1.0, "A": 2.0, "p": 0.5}, columns), [1.0, 3.0])
    assert np.isfinite(law.gradient({"E": 1.0, "A": 2.0, "p": 0.5}, columns)["p"]).all()


def test_an_indexed_parameter_has_one_value_per_group() -> None:
    law = Law("E[dataset] + A / N**alpha")
    columns = {"N": np.array([1.0, 1.0]), "dataset": np.array(["c4", "pile"])}
    values = {"E[c4]": 1.0, "E[pile]": 2.0, "A": 0.5, "alpha": 0.3}
    np.testing.assert_allclose(law.loss(values, columns), [1.5, 2.5])
    assert law.loss(values, {"N": 1.0, "dataset": "pile"}) == pytest.approx(2.5)
    with pytest.raises(UserError, match="'books' was not among the runs"):
        law.loss(values, {"N": 1.0, "dataset": "books"})


def test_ranges_follow_from_the_role_unless_given() -> None:
    law = Law("E + A / N**alpha + s * log(D) + k * exp(-x / R)", alpha=(0.01, 1.5))
    found = {one.name: (one.role, one.low, one.high) for one in law.parameters}
    assert found == {
        "E": ("floor", 0.0, math.inf),
        "A": ("coefficient", 0.0, math.inf),
        "alpha": ("exponent", 0.01, 1.5),
        "s": ("slope", -math.inf, math.inf),
        "k": ("coefficient", 0.0, math.inf),
        "R": ("scale", 0.0, math.inf),
    }
    (middle,) = [one for one in Law("E + k * (log(lr) - m)**2").parameters if one.name == "m"]
    assert (middle.role, middle.low) == ("location", -math.inf)
    signs = {one.name: one.low for one in Law("k * N**a / D**b").parameters}
    assert signs == {"k": 0.0, "a": -3.0, "b": 0.0}


@pytest.mark.parametrize(
    ("formula", "limits"),
    [
        (CHINCHILLA, {"N": "E + B / D**beta", "D": "E + A / N**alpha", "N, D": "E"}),
        ("top - k * exp(-gamma * L)", {"L": "top"}),
        ("E + A * x**-c", {"x": "E"}),
        ("A * (1 / x + gamma)**c", {"x": "A * gamma**c"}),
        ("a - b * log(x)", {}),
        ("k * x**p / min(x, m)", {}),
        ("max(E, A / x**alpha)", {"x": "max(E, 0)"}),
        ("a * sigmoid(s * x) + log(x)", {"x": "oo"}),
    ],
)
def test_limits_are_those_of_calculus(formula: str, limits: dict[str, str]) -> None:
    assert Law(formula).limits() == limits


def test_latex_keeps_the_author_s_order() -> None:
    assert Law(CHINCHILLA).latex() == r"E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}}"
    assert Law("E[dataset] + (1 - R_D) * N").latex() == r"E_{\mathrm{dataset}} + \left(1 - R_{D}\right) N"


def test_numbers_are_written_into_the_formula_with_the_brackets_that_their_sign_needs() -> None:
    tree = Law("E + A / N**alpha + k * (log(lr) - m)**2").tree
    numbers = {"E": "1.5", "A": "-2", "alpha": "-0.3", "k": "4", "m": "-7"}
    assert text_with_numbers(tree, numbers) == "1.5 + (-2) / N**-0.3 + 4 * (log(lr) - (-7))**2"


def test_laws_are_equal_and_hash_by_formula_and_ranges_and_can_be_sent_to_another_process() -> None:
    assert Law(CHINCHILLA) == Law(CHINCHILLA)
    assert len({Law(CHINCHILLA), Law(CHINCHILLA), Law(CHINCHILLA, E=(0, 3))}) == 2
    law = Law(CHINCHILLA, E=(0, 3))
    assert pickle.loads(pickle.dumps(law)) == law


@pytest.mark.parametrize(
    ("formula", "ranges", "says"),
    [
        ("a + b", {}, "reads no column"),
        ("E + A / N**alpha", {"beta": (0, 1)}, "no parameter of the law"),
        ("E + A / N**alpha", {"alpha": (1, 0)}, "must be below its second"),
        ("E + A / N**alpha", {"alpha": "steep"}, "must be a pair"),
        ("N[d] + a", {}, "can't be indexed"),
        ("E[d] + E / N", {}, "both with and without"),
    ],
)
def test_a_law_that_makes_no_sense_is_refused(formula: str, ranges: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Law(formula, **ranges)  # type: ignore[arg-type]


def test_derivatives_are_kept_between_processes_and_a_damaged_cache_is_made_again() -> None:
    first = Law(CHINCHILLA).derivatives
    (kept,) = (cache_folder() / "laws").iterdir()
    assert Law(CHINCHILLA).derivatives == first
    for damaged in ("", "{}", "[]", kept.read_text().replace("exp", "import"), kept.read_text().replace("p2", "q9")):
        kept.write_text(damaged)
        assert Law(CHINCHILLA).derivatives == first


def test_a_cache_that_cannot_be_written_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOFLOP_CACHE", "/dev/null/nowhere")
    assert len(Law(CHINCHILLA).derivatives.gradient) == 5
