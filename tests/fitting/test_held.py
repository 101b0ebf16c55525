"""A parameter may be held at one value: it is then no parameter of the fit, and of all that follows from it."""

from __future__ import annotations

import numpy as np
import pytest

import isoflop as iso
from isoflop.errors import UserError

CHINCHILLA = "E + A / N**alpha + B / D**beta"


def ladder(n_sizes: int = 8) -> iso.Runs:
    rng = np.random.default_rng(0)
    n = np.repeat(np.geomspace(1e7, 1e9, n_sizes), 5)
    d = n * np.tile(np.geomspace(5, 80, 5), n_sizes)
    loss = (1.7 + 400 / n**0.34 + 2000 / d**0.37) * np.exp(0.005 * rng.standard_normal(len(n)))
    group = np.resize(["c4", "pile"], len(n))
    return iso.Runs({"params": n, "tokens": d, "loss": loss, "dataset": group})


@pytest.mark.parametrize(
    "held", [{"E": 1.7}, {"alpha": 0.34}, {"A": 400.0}, {"E": (0.0, 0.0)}, {"E": 1.7, "beta": 0.37}]
)
@pytest.mark.parametrize("resample", ["cases", "mixed", "residuals"])
def test_what_is_held_keeps_its_value_in_the_optimum_and_in_every_draw(held: dict[str, object], resample: str) -> None:
    law = iso.Law(CHINCHILLA, **held)
    fit = iso.fit(ladder(), law, draws=50, resample=resample)
    for name, given in held.items():
        value = given[0] if isinstance(given, tuple) else given
        assert fit.values[name] == value
        assert (fit.draw_values[name] == value).all()
    assert set(fit.fitted) == set(law.names) - set(held)
    assert "at_bound" not in {one.code for one in fit.status} or held == {"E": (0.0, 0.0)}


def test_holding_is_fitting_the_formula_with_the_number_written_into_it() -> None:
    held = iso.fit(ladder(), iso.Law(CHINCHILLA, E=1.75, alpha=0.3), draws=400)
    written = iso.fit(ladder(), "1.75 + A / N**0.3 + B / D**beta", draws=400)
    assert held.objective == pytest.approx(written.objective, rel=1e-9)
    assert held.noise == pytest.approx(written.noise, rel=1e-6)
    assert held.misfit == pytest.approx(written.misfit, rel=1e-5)
    for name in ("A", "B", "beta"):
        ours, theirs = held.parameters[name], written.parameters[name]
        np.testing.assert_allclose(
            [ours.value, ours.low, ours.high], [theirs.value, theirs.low, theirs.high], rtol=1e-4
        )


def test_as_few_runs_do_as_there_are_parameters_left() -> None:
    runs = ladder(1).take(np.arange(3))
    with pytest.raises(UserError, match="has 5 parameters"):
        iso.fit(runs, CHINCHILLA)
    assert iso.fit(runs, iso.Law(CHINCHILLA, E=1.7, alpha=0.34), draws=0).n_runs == 3


def test_an_indexed_parameter_is_held_for_every_group() -> None:
    fit = iso.fit(ladder(), iso.Law("E[dataset] + A / N**alpha + B / D**beta", E=1.7), draws=20)
    assert (fit.values["E[c4]"], fit.values["E[pile]"]) == (1.7, 1.7)
    assert set(fit.fitted) == {"A", "alpha", "B", "beta"}


def test_everything_may_be_held() -> None:
    law = iso.Law(CHINCHILLA, E=1.7, A=400.0, alpha=0.34, B=2000.0, beta=0.37)
    fit = iso.fit(ladder(), law, draws=20)
    assert fit.fitted == ()
    assert 0.003 < fit.noise < 0.008


def test_the_summary_says_what_is_held_and_a_profile_of_it_is_refused() -> None:
    fit = iso.fit(ladder(), iso.Law(CHINCHILLA, E=1.7), draws=50)
    row = next(line for line in fit.summary().splitlines() if line.startswith("E "))
    assert row.split() == ["E", "1.7", "held"]
    with pytest.raises(UserError, match=r"E is held at 1\.7"):
        fit.profile("E")
    assert iso.Fit.from_json(fit.to_json()).law == fit.law


def test_a_law_and_the_same_with_a_value_held_are_two_laws_in_a_comparison() -> None:
    found = iso.compare(ladder(), [CHINCHILLA, iso.Law(CHINCHILLA, E=1.7)], draws=20)
    assert {one.name: len(one.fit.fitted) for one in found.contestants} == {
        CHINCHILLA: 5,
        f"Law({CHINCHILLA!r}, E=1.7)": 4,
    }
