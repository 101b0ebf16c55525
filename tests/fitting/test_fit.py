"""The fit is the global optimum, its draws agree with the published uncertainty, and bad input is explained."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import isoflop as iso

CHINCHILLA = "E + A / N**alpha + B / D**beta"
TRUTH = {"E": 1.7, "A": 400.0, "alpha": 0.34, "B": 2000.0, "beta": 0.37}


def table(frame: pd.DataFrame) -> iso.Runs:
    columns = {n: frame[n].to_numpy() if frame[n].dtype.kind in "fi" else frame[n].to_numpy(dtype=str) for n in frame}
    return iso.Runs({str(name): column for name, column in columns.items()})


@pytest.fixture(scope="module")
def epoch(data_dir: Path) -> iso.Runs:
    return table(pd.read_csv(data_dir / "runs" / "epoch_chinchilla.csv"))


def ladder(*, noise: float, seed: int = 0, **truth: float) -> iso.Runs:
    rng = np.random.default_rng(seed)
    n, ratio = np.meshgrid(np.geomspace(1e7, 1e9, 6), [5.0, 20.0, 80.0])
    columns = {"params": n.ravel(), "tokens": (n * ratio).ravel()}
    law = iso.Law(CHINCHILLA)
    loss = law.loss(TRUTH | truth, {"N": columns["params"], "D": columns["tokens"]})
    return iso.Runs({**columns, "loss": loss * np.exp(noise * rng.standard_normal(len(loss)))})


def test_the_240_runs_of_epoch_give_the_exact_minimum(epoch: iso.Runs) -> None:
    fit = iso.fit(epoch, CHINCHILLA, where={"split": "fit240"}, draws=0)
    assert fit.objective == pytest.approx(0.0010182740178006, rel=1e-11)
    published = {"E": 1.8172181, "A": 477.82587, "B": 2143.4174, "alpha": 0.34731050, "beta": 0.36717243}
    for name, value in published.items():
        assert fit.values[name] == pytest.approx(value, rel=1e-7)
    assert fit.certificate.converged
    assert fit.certificate.agree == fit.certificate.polishes


def test_all_245_runs_of_epoch_give_the_exact_minimum(epoch: iso.Runs) -> None:
    fit = iso.fit(epoch, CHINCHILLA, draws=0)
    assert fit.objective == pytest.approx(0.0018260105231, rel=1e-10)
    assert fit.values["beta"] == pytest.approx(0.4530493, rel=1e-7)


def test_the_case_bootstrap_reproduces_the_published_standard_errors(epoch: iso.Runs) -> None:
    fit = iso.fit(epoch, CHINCHILLA, where={"split": "fit240"}, draws=1000)
    errors = dict(zip(fit.values, fit.draws.std(axis=0), strict=True))
    for name, published in {"E": 0.02566, "A": 124.5, "alpha": 0.01540, "B": 1293.3, "beta": 0.02060}.items():
        assert errors[name] == pytest.approx(published, rel=0.15)


def test_the_law_that_made_the_runs_is_found_again() -> None:
    fit = iso.fit(ladder(noise=0.0), CHINCHILLA, draws=0)
    for name, value in TRUTH.items():
        assert fit.values[name] == pytest.approx(value, rel=1e-6)


def test_the_optimum_and_its_diagnosis_hang_neither_on_the_draws_nor_on_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    # The optimum of this one is not unique: what is between the two middle runs is as good.
    x = np.geomspace(1.0, 1e3, 6)
    runs = iso.Runs({"x": x, "loss": 3 * x / x.max()})
    fits = [iso.fit(runs, "E + A / x**alpha", draws=draws) for draws in (0, 20_000)]
    monkeypatch.setenv("ISOFLOP_NO_NUMBA", "1")
    fits.append(iso.fit(runs, "E + A / x**alpha", draws=500))
    assert len({tuple(one.values.items()) for one in fits}) == 1
    assert len({one.status for one in fits}) == 1
    assert len({(one.noise, one.misfit) for one in fits}) == 1


@pytest.mark.parametrize("objective", [iso.Huber(), iso.Squared(), iso.Huber(1e-8)], ids=str)
def test_runs_without_noise_are_fitted_without_a_warning(objective: iso.Huber | iso.Squared) -> None:
    n, ratio = (one.ravel() for one in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(5, 80, 4)))
    runs = iso.Runs({"params": n, "tokens": n * ratio, "loss": 1.8 + 480 / n**0.35 + 2100 / (n * ratio) ** 0.37})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = iso.fit(runs, "chinchilla", objective=objective, draws=50)
        fit.summary()
        fit.predict(N=1e10, D=1e11, of="run")
        fit.profile("E")
    assert fit.misfit == 1.0


def test_sizes_and_losses_of_any_magnitude_are_fitted_and_profiled_without_a_warning() -> None:
    x = np.geomspace(2e-80, 2.5e-80, 30)
    loss = np.where(np.arange(30) == 29, 1e93, 1e90)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objective = iso.Asymmetric()
        fit = iso.fit(iso.Runs({"x": x, "loss": loss}), "sqrt(E + A / x)", objective=objective, space="raw", draws=0)
        str(fit.profile("A"))
