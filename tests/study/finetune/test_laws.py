"""The laws that a study of fine-tunings fits are those that its rows allow, and rows made by a law give it back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isoflop.study.finetune.config import PriceConfig
from isoflop.study.finetune.laws import EXAMPLES, answers, fit_curves, fit_joint, floor_rows, predictions, trade

MODELS = {"a": (1e12, 1e5), "b": (1e13, 4e5), "c": (1e14, 1.6e6)}
SIZES = (200, 400, 800, 1600, 3200, 6400)
ALPHA, BETA, E, A = 0.12, 0.4, 0.05, 80.0


def rows_of(models: tuple[str, ...], *, noise: float = 0.01, recorded: bool = True) -> list[dict[str, Any]]:
    draw = np.random.default_rng(7)
    rows = []
    for model in models:
        flops, params = MODELS[model]
        for seed in range(3):
            for n in SIZES:
                error = (E + A / (flops**ALPHA * n**BETA)) * float(np.exp(noise * draw.standard_normal()))
                rows.append(
                    {
                        "run": f"{model}-{n}-{seed}", "trunk": f"{model}-s{seed}", "model": model, "method": "full",
                        "seed": seed, EXAMPLES: n, "finetuning_tokens": 25 * n, "params": params,
                        "pretraining_flops": flops if recorded else None, "error": error, "loss": 2 * error,
                        "floor_error": 0.1 + 2 / n**0.5,
                    }
                )  # fmt: skip
    return rows


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isoflop.study.finetune.laws.DRAWS", 200)


def test_the_largest_subset_is_predicted_from_the_smaller_ones() -> None:
    rows = rows_of(("a", "b", "c"))
    smaller = [row for row in rows if row[EXAMPLES] < SIZES[-1]]
    found = {
        one["model"]: one
        for one in predictions(fit_curves(smaller, ["full"], target="error", seed=0), smaller, labels=6400)
    }
    for model, (flops, _) in MODELS.items():
        truth = E + A / (flops**ALPHA * 6400**BETA)
        assert found[model]["low"] < truth < found[model]["high"]
    assert found["floor"]["value"] == pytest.approx(0.1 + 2 / 6400**0.5, rel=1e-3)


def test_a_floor_is_counted_once_beside_all_models() -> None:
    assert len(floor_rows(rows_of(("a", "b", "c")))) == len(floor_rows(rows_of(("a",)))) == len(SIZES) * 3


def test_the_joint_law_gives_back_what_a_label_is_worth() -> None:
    rows = rows_of(("a", "b", "c"))
    laws = fit_joint(rows, ["full"], seed=0)
    assert [(one.law, one.target) for one in laws] == [("finetuning", "error"), ("transfer", "loss")]
    assert all(one.fit is not None for one in laws)
    found = trade(laws, rows, labels=6400, prices=PriceConfig(), speed=None)[0]
    worth = found["flops_per_label"]
    assert worth["low"] < BETA / ALPHA * 1e14 / 6400 < worth["high"]
    dear = PriceConfig(usd_per_label=100.0, usd_per_hour=0.01)
    told = trade(laws, rows, labels=6400, prices=dear, speed=1e12)[0]["sentences"]
    assert told[0].startswith("pretrain more: ")


@pytest.mark.parametrize(("models", "recorded"), [(("a", "b"), True), (("a", "b", "c"), False)])
def test_without_three_recorded_pretrainings_there_is_no_joint_law(models: tuple[str, ...], recorded: bool) -> None:
    rows = rows_of(models, recorded=recorded)
    laws = fit_joint(rows, ["full"], seed=0)
    assert [one.fit for one in laws] == [None]
    said = trade(laws, rows, labels=6400, prices=PriceConfig(), speed=None)[0]["sentences"]
    assert said[0].startswith("cannot say: ")
    assert "3 are needed" in said[0]


def test_a_method_with_too_few_cells_is_an_answer_that_can_not_be_given() -> None:
    rows = rows_of(("a",))[:2]
    laws = fit_curves(rows, ["full"], target="error", seed=0)
    assert laws[0].fit is None
    assert answers(laws, rows, labels=400)[0]["sentence"].startswith("cannot say: ")
