"""The table says what the papers say, each weight is initialised and trained by its rule, and the page shows it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from isoflop.cli.app import app
from isoflop.errors import UserError
from isoflop.models import PARAMETRIZATIONS, build_model, parametrization
from isoflop.models.folding import weight_rule
from isoflop.models.parametrization import Alphas, Parametrization, completep, umup
from isoflop.models.parametrization_page import parametrization_page
from isoflop.shapes import ModelShape
from isoflop.training import OptimizerConfig, build_optimizer

BASE = ModelShape(layers=2, width=32, heads=2, vocab=64, context=16, ffn=88, norm="plain")
WIDE_DEEP = dataclasses.replace(BASE, width=128, ffn=352, layers=8)
OUT, UP, NORM = "blocks.0.attention.out.weight", "blocks.0.feed_forward.up.weight", "blocks.0.attention_norm.weight"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "parametrizations.md"


def rule(name: str | Parametrization, weight: str, shape: ModelShape = WIDE_DEEP, fan_in: int = 128):  # type: ignore[no-untyped-def]
    table = parametrization(name) if isinstance(name, str) else name
    return weight_rule(weight, shape=shape, base=BASE, table=table, fan_in=fan_in)


@pytest.mark.parametrize(
    ("name", "weight", "init_std", "lr_factor", "eps_factor"),
    [
        ("sp", UP, 0.02, 1.0, 1.0),
        ("mup", UP, 0.02 / 2, 1 / 4, 1 / 4),  # variance s²/m_N, rate η/m_N, ε/m_N at m_N = 4
        ("mup", "embedding.weight", 0.02, 1.0, 1.0),
        ("mup", "head.weight", 0.02 / 4, 1 / 4, 4.0),  # std s, multiplier 1/m_N; folded, all carry it
        ("completep", UP, 0.02 / 2, 1 / 4, 1 / 4 / 4),
        ("completep", OUT, 0.02 / 2 / 4, 1 / 4 / 4, 1 / 4),  # and the branch's 1/m_L at m_L = 4
        ("completep", NORM, 0.0, 1.0, 1 / 4 / 4),
        ("completep", "norm.weight", 0.0, 1.0, 1.0),
        (completep(0.5), UP, 0.02 / 2, 1 / 4 / 2, 1 / 4 / 2),
        (completep(0.5), NORM, 0.0, 1 / 2, 1 / 4 / 2),
        (completep(0.5), "norm.weight", 0.0, 1.0, 1.0),
        ("u-mup", "embedding.weight", 1.0, 128**-0.5, 1.0),
        ("u-mup", UP, 128**-0.5, 1 / 128 / math.sqrt(8), 128**0.5),  # 1/√fan_in twice, 1/√layers
        ("u-mup", "head.weight", 1 / 128, 1 / 128, 128.0),
        ("u-mup", "pair_head.weight", 1 / 128, 1 / 128, 128.0),
        ("u-mup", "blocks.0.feed_forward.up.bias", 0.0, 128**-0.5 / math.sqrt(8), 128**0.5),
        (umup(Alphas(loss=3.0)), "head.weight", 3 / 128, 3 / 128, 128 / 3),
        (umup(depth_exponent=1.0), UP, 128**-0.5, 1 / 128, 128**0.5),
    ],
)
def test_rules_are_the_papers(
    name: str | Parametrization, weight: str, init_std: float, lr_factor: float, eps_factor: float
) -> None:
    found = rule(name, weight)
    assert found.init_std == pytest.approx(init_std)
    assert found.lr_factor == pytest.approx(lr_factor)
    assert found.eps_factor == pytest.approx(eps_factor)


@pytest.mark.parametrize("name", ["mup", "completep"])
def test_at_the_base_shape_they_are_standard_but_for_the_attention_scale(name: str) -> None:
    for weight in ("embedding.weight", "head.weight", UP, OUT, NORM):
        assert rule(name, weight, BASE, 32) == rule("sp", weight, BASE, 32)


@pytest.mark.parametrize("name", sorted(PARAMETRIZATIONS))
def test_every_weight_is_initialised_and_trained_by_its_rule(name: str) -> None:
    model, rules = build_model(WIDE_DEEP, parametrization(name), base=BASE, seed=0)
    groups = build_optimizer(model, rules, OptimizerConfig(lr=0.3, weight_decay=1e-4, eps=1e-3)).param_groups
    group_of = {id(weight): group for group in groups for weight in group["params"]}
    for weight_name, weight in model.named_parameters():
        found, expected = group_of[id(weight)], rules[weight_name]
        assert weight.std().item() == pytest.approx(expected.init_std, rel=0.05)
        assert found["peak_lr"] == pytest.approx(0.3 * expected.lr_factor)
        assert found["eps"] == pytest.approx(1e-3 * expected.eps_factor)
        assert found["lr"] * found["weight_decay"] == pytest.approx(1e-4)


@pytest.mark.parametrize("name", sorted(PARAMETRIZATIONS))
def test_gains_start_at_one_and_neither_they_nor_biases_decay(name: str) -> None:
    gain, bias = rule(name, NORM), rule(name, "blocks.0.attention.qkv.bias")
    assert (gain.init_mean, gain.init_std, gain.decays) == (1.0, 0.0, False)
    assert (bias.init_mean, bias.init_std, bias.decays) == (0.0, 0.0, False)


def test_the_page_in_the_docs_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == parametrization_page(), (
        "run: isoflop parametrizations > docs/parametrizations.md"
    )


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match="sp, mup, u-mup, completep"):
        parametrization("mu")
    with pytest.raises(UserError, match="multiplier loss must be above 0"):
        Alphas(loss=0.0)
    with pytest.raises(UserError, match=r"between 0\.5 and 1"):
        completep(2.0)
    with pytest.raises(UserError, match=r"between 0\.5 and 1"):
        umup(depth_exponent=0.0)


def test_the_verb_prints_the_page() -> None:
    done = CliRunner().invoke(app, ["parametrizations"])
    assert done.exit_code == 0
    assert done.stdout == parametrization_page()
