"""A fit says first what speaks against it, in a sentence that names names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import isoflop as iso

CHINCHILLA = "E + A / N**alpha + B / D**beta"
POWER = "E + A / N**alpha"


def ladder(
    *, noise: float = 0.002, n_low: float = 1e7, n_high: float = 1e9, tied: bool = False, **extra: np.ndarray
) -> iso.Runs:
    rng = np.random.default_rng(0)
    n = np.repeat(np.geomspace(n_low, n_high, 8), 5)
    d = 20 * n if tied else n * np.tile(np.geomspace(5, 80, 5), 8)
    loss = (1.7 + 400 / n**0.34 + 2000 / d**0.37) * np.exp(noise * rng.standard_normal(40))
    return iso.Runs({"params": n, "tokens": d, "loss": loss, **extra})


def messages(fit: iso.Fit) -> dict[str, str]:
    return {one.code: one.message for one in fit.status}


def test_a_good_fit_has_nothing_to_say_but_that_it_converged() -> None:
    fit = iso.fit(ladder(), CHINCHILLA, draws=200)
    assert [one.code for one in fit.status] == ["converged"]
    assert "may be believed" in fit.summary()


def test_the_five_runs_that_move_beta_are_found_and_named(data_dir: Path) -> None:
    frame = pd.read_csv(data_dir / "runs" / "epoch_chinchilla.csv")
    runs = iso.Runs(
        {name: frame[name].to_numpy(str if name in ("run", "split") else float) for name in frame if name != "dataset"}
    )
    fit = iso.fit(runs, CHINCHILLA, draws=0)
    message = messages(fit)["few_runs_decide"]
    assert message.startswith("5 of 245 runs decide the fit (chinchilla_000, ")
    assert "beta is 0.3672 instead of 0.453" in message
    assert "few_runs_decide" not in messages(iso.fit(runs, CHINCHILLA, where={"split": "fit240"}, draws=0))


def test_one_run_that_decides_is_named() -> None:
    runs = ladder(run=np.array([f"r{i}" for i in range(40)]))
    runs["loss"][0] *= 1.5
    message = messages(iso.fit(runs, CHINCHILLA, objective=iso.Squared(), draws=0))["one_run_decides"]
    assert message.startswith("1 of 40 runs decides the fit (r0)")


def test_too_narrow_a_span_names_the_parameters_that_trade_off_and_the_span() -> None:
    fit = iso.fit(ladder(n_low=5e7, n_high=2e8, noise=0.01), CHINCHILLA, draws=0)
    message = messages(fit)["not_identified"]
    assert "A" in message.split(" trade off")[0]
    assert "alpha" in message.split(" trade off")[0]
    assert "N spans 4×" in message


def test_n_and_d_in_step_are_pointed_out() -> None:
    assert "N and D rise in step" in messages(iso.fit(ladder(tied=True), CHINCHILLA, draws=0))["not_identified"]


def test_a_parameter_at_its_bound_is_named_with_the_bound() -> None:
    fit = iso.fit(ladder(), iso.Law(CHINCHILLA, alpha=(0.4, 1)), draws=0)
    assert "alpha is at the lower end of its range, 0.4" in messages(fit)["at_bound"]


def test_a_floor_that_the_runs_do_not_show_is_at_its_bound() -> None:
    n = np.geomspace(1e3, 1e6, 20)
    # A loss that falls faster and faster on a log-log plot has no floor.
    fit = iso.fit(iso.Runs({"params": n, "loss": 10 / n**0.2 - 0.3}), POWER, draws=0)
    assert fit.values["E"] == 0
    assert "E is at the lower end of its range, 0" in messages(fit)["at_bound"]


def test_a_term_that_does_nothing_is_named() -> None:
    n = np.geomspace(1e3, 1e6, 20)
    loss = 3.0 + 0.001 * np.random.default_rng(0).standard_normal(20)
    found = messages(iso.fit(iso.Runs({"params": n, "loss": loss}), POWER, draws=0))
    assert {"at_bound", "not_identified"} & found.keys()


@pytest.mark.parametrize(("levels", "spoken"), [(1, "N has 1 level:"), (2, "N has 2 levels:")])
def test_few_levels_are_counted(levels: int, spoken: str) -> None:
    n = np.resize(np.geomspace(1e7, 1e8, levels), 20)
    loss = 2 + 100 / n**0.3 + 0.01 * np.random.default_rng(0).standard_normal(20)
    assert messages(iso.fit(iso.Runs({"params": n, "loss": loss}), POWER, draws=0))["few_levels"].startswith(spoken)


def test_a_continuum_of_sizes_is_many_levels() -> None:
    n = np.geomspace(1e7, 1e9, 2000)
    assert "few_levels" not in messages(iso.fit(iso.Runs({"params": n, "loss": 2 + 100 / n**0.3}), POWER, draws=0))


def test_hardly_more_runs_than_parameters_is_said() -> None:
    assert (
        "7 runs for 5 parameters leave 2"
        in messages(iso.fit(ladder().take(np.arange(0, 40, 6)), CHINCHILLA, draws=0))["too_few_runs"]
    )


def test_repeated_rows_are_counted() -> None:
    runs = ladder()
    again = runs.take(np.concatenate([np.arange(40), np.arange(7)]))
    assert messages(iso.fit(again, CHINCHILLA, draws=0))["duplicates"].startswith("7 of 47 rows repeat")


def test_checkpoints_and_mixed_conventions_are_pointed_out() -> None:
    names, conventions = np.repeat([f"r{i}" for i in range(8)], 5), np.resize(["body", "total"], 40)
    found = messages(iso.fit(ladder(run=names, params_convention=conventions), CHINCHILLA, draws=0))
    assert "8 runs have several rows" in found["mid_schedule"]
    assert "counted in 2 ways (body and total)" in found["mixed_conventions"]


def test_trunks_too_few_to_draw_from_are_pointed_out() -> None:
    runs = ladder(trunk=np.repeat([f"t{i}" for i in range(8)], 5))
    assert "few_trunks" in messages(iso.fit(runs, CHINCHILLA, draws=100, resample="runs"))
    assert "few_trunks" not in messages(iso.fit(runs, CHINCHILLA, draws=100))


def test_a_prediction_says_how_far_it_reaches() -> None:
    fit = iso.fit(ladder(), CHINCHILLA, draws=100)
    assert fit.predict(N=1e9, D=5e10).status == ()
    (one,) = fit.predict(N=1e10, D=5e10).status
    assert one.code == "extrapolates"
    assert "N = 1e+10 is 10× beyond the largest fitted, 1e+09" in one.message


def test_nothing_is_told_in_per_cent_of_zero() -> None:
    x = np.geomspace(1e3, 1e7, 40)
    wiggle = 1e-3 * np.random.default_rng(1).standard_normal(40)
    rising = np.where(np.arange(40) == 0, 0.1, 2.0 / x**0.01) * np.exp(wiggle)
    fit = iso.fit(iso.Runs({"x": x, "loss": rising}), "k / x**a", objective=iso.Squared(), draws=0)
    assert fit.values["a"] == 0.0
    message = messages(fit)["one_run_decides"]
    assert "instead of 0. Look" in message
    assert "%" not in message


def test_a_fit_through_every_run_is_converged_and_has_no_misfit() -> None:
    x = np.geomspace(1.0, 1e3, 12)
    runs = iso.Runs({"x": x, "loss": 0.5 + 1 / x})
    for law in ("m2", "m4"):
        fit = iso.fit(runs, law, draws=50)
        assert {"not_converged", "starts_disagree", "misfit"}.isdisjoint(messages(fit))
        assert fit.misfit == 1.0
        assert fit.certificate.agree > 1


def test_a_parameter_that_has_run_off_is_told_so_in_a_number() -> None:
    x = np.geomspace(1e83, 1e87, 40)
    fit = iso.fit(iso.Runs({"x": x, "loss": 2 + 1e90 / np.geomspace(1e3, 1e7, 40)}), "E + A / x**alpha", draws=0)
    assert "A is at the upper end of its range, 1e+100" in messages(fit)["at_bound"] + str(fit.status)
