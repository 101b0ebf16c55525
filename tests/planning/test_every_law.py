"""Every law of the catalogue with a size and data can be planned on, and any formula of a user's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import isoflop as iso
from isoflop.cli.app import app
from isoflop.errors import UserError
from isoflop.laws.catalogue import ENTRIES
from isoflop.laws.lookup import law_of
from isoflop.planning.allocation import allocate
from isoflop.planning.basis import Basis, basis_of
from isoflop.runs import Runs

FLOPS = 1e21
FIXED = {"granularity": 8.0, "sparsity": 0.5, "bits_weights": 8.0, "bits_activations": 8.0, "bits_kv": 8.0}
"""Columns beside size and data, each in its own unit."""

PLANNABLE = [
    f"{entry.key}:{published.source}"
    for entry in ENTRIES.values()
    for published in entry.sets
    if {"N", "D"} <= set(entry.columns) and entry.target.name in ("L", "error")
]


def fixed_for(key: str) -> dict[str, float]:
    return {name: FIXED[name] for name in ENTRIES[key.partition(":")[0]].columns if name in FIXED}


def test_the_catalogue_has_many_such_laws() -> None:
    assert len(PLANNABLE) >= 14
    assert {"chinchilla", "kaplan", "data_constrained", "overtraining", "fine_grained", "sparsity", "precision"} <= {
        key.partition(":")[0] for key in PLANNABLE
    }


@pytest.mark.parametrize("key", PLANNABLE)
def test_no_other_split_of_the_budget_has_less_loss(key: str) -> None:
    found = allocate(key, flops=FLOPS, fixed=fixed_for(key))
    basis = basis_of(key, fixed=fixed_for(key))
    others = np.geomspace(found.params.value / 1e3, found.params.value * 1e3, 4001)
    with np.errstate(all="ignore"):
        losses = basis.loss(others, FLOPS / (6 * others))
    assert found.loss.value <= np.nanmin(losses) * (1 + 1e-12)
    assert found.params.value * found.tokens.value * 6 == pytest.approx(FLOPS)


@pytest.mark.parametrize("key", ["lr_of_size:steplaw2025", "precision_post:kumar2024", "adamw_timescale:bergsma2025"])
def test_a_law_of_something_else_than_a_loss_is_refused(key: str) -> None:
    with pytest.raises(UserError, match="a plan makes a loss small"):
        allocate(key, flops=FLOPS, fixed={"bits": 4.0})


def test_fewer_bits_ask_for_a_larger_model() -> None:
    key = "precision:kumar2024"
    sizes = [
        allocate(key, flops=FLOPS, fixed={**fixed_for(key), "bits_weights": bits}).params.value for bits in (4, 8, 16)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_formula_with_a_teacher_is_planned_on_with_the_teacher_given(tmp_path) -> None:
    rng = np.random.default_rng(0)
    size, data, teacher = (
        one.ravel()
        for one in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 3e10, 5), [1.9, 2.2, 2.6], indexing="ij")
    )
    formula = "E + k * teacher_loss + A / N**a + B / D**b"
    law = iso.Law(formula, variables=("N", "D", "teacher_loss"))
    truth = {"E": 0.4, "k": 0.6, "A": 480.0, "B": 2000.0, "a": 0.35, "b": 0.36}
    loss = law.loss(truth, {"N": size, "D": data, "teacher_loss": teacher})
    loss = loss * np.exp(0.002 * rng.standard_normal(len(loss)))
    runs = Runs({"params": size, "tokens": data, "teacher_loss": teacher, "loss": loss})
    path = tmp_path / "distilled.json"
    path.write_text(iso.fit(runs, law, draws=100).to_json(), encoding="utf-8")

    def planned(*extra: str):
        return CliRunner().invoke(app, ["plan", str(path), "--flops", "1e20", "--json", *extra])

    good, poor = (json.loads(planned("--set", f"teacher_loss={loss}").stdout) for loss in (1.9, 2.6))
    assert poor["loss"]["value"] - good["loss"]["value"] == pytest.approx(0.6 * 0.7, rel=0.1)
    assert good["loss"]["low"] < good["loss"]["value"] < good["loss"]["high"]
    without = planned()
    assert without.exit_code != 0


@pytest.mark.parametrize("fixed", [{}, {"teacher_loss": 2.0, "supervised_loss": 2.5}])
def test_the_distillation_law_says_what_to_do_about_its_moving_column(fixed) -> None:
    entry = ENTRIES["distillation"]
    basis = Basis(law_of(entry), {one.name: 1.0 for one in entry.parameters}, "distilled", fixed=fixed)
    with pytest.raises(UserError, match=r"supervised_loss, which changes with size and data.*written out in N and D"):
        allocate(basis, flops=1e20)
