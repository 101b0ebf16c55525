"""The table says what the papers say, and folding multipliers into weights changes nothing that Adam does."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from isoflop.errors import UserError
from isoflop.models import PARAMETRIZATIONS, build_model, parametrization
from isoflop.models.parametrization import activation_unit_scale, attention_unit_scale, branch_multiplier, weight_rule
from isoflop.shapes import ModelShape
from isoflop.training import OptimizerConfig, build_optimizer

BASE = ModelShape(layers=2, width=32, heads=2, vocab=64, context=16, ffn=88, norm="plain")
WIDE_DEEP = dataclasses.replace(BASE, width=128, ffn=352, layers=8)
OUT, UP, DOWN = "blocks.0.attention.out.weight", "blocks.0.feed_forward.up.weight", "blocks.0.feed_forward.down.weight"


def rule(name: str, weight: str, shape: ModelShape = WIDE_DEEP, fan_in: int = 128):  # type: ignore[no-untyped-def]
    return weight_rule(weight, shape=shape, base=BASE, table=parametrization(name), fan_in=fan_in)


@pytest.mark.parametrize(
    ("name", "weight", "init_std", "lr_factor"),
    [
        ("sp", UP, 0.02, 1.0),
        ("mup", UP, 0.02 / 2, 1 / 4),  # variance s²/m_N, rate η/m_N at m_N = 4
        ("mup", "embedding.weight", 0.02, 1.0),
        ("mup", "head.weight", 0.02 / 4, 1 / 4),  # std s, multiplier 1/m_N; folded, both carry it
        ("completep", UP, 0.02 / 2, 1 / 4),
        ("completep", OUT, 0.02 / 2 / 4, 1 / 4 / 4),  # and the branch's 1/m_L at m_L = 4
        ("u-mup", "embedding.weight", 1.0, 128**-0.5),
        ("u-mup", UP, 128**-0.5, 1 / 128 / math.sqrt(8)),  # 1/√fan_in twice, 1/√layers
        ("u-mup", "head.weight", 1 / 128, 1 / 128),
    ],
)
def test_rules_are_the_papers(name: str, weight: str, init_std: float, lr_factor: float) -> None:
    found = rule(name, weight)
    assert found.init_std == pytest.approx(init_std)
    assert found.lr_factor == pytest.approx(lr_factor)


@pytest.mark.parametrize("name", ["mup", "completep"])
def test_at_the_base_shape_they_are_standard_but_for_the_attention_scale(name: str) -> None:
    for weight in ("embedding.weight", "head.weight", UP, OUT):
        assert rule(name, weight, BASE, 32) == rule("sp", weight, BASE, 32)


@pytest.mark.parametrize("layers", [1, 3, 12])
def test_u_mup_branches_carry_the_running_scheme_of_the_paper(layers: int) -> None:
    """x ← b·x + a·f(x) with τ_i² = 1/(L + i): divided by the stream's factor, all branches' shares are equal."""
    shape = dataclasses.replace(BASE, layers=layers)
    stream = 1.0
    for i in range(2 * layers):
        tau = (layers + i) ** -0.5
        a, b = tau / math.sqrt(1 + tau**2), 1 / math.sqrt(1 + tau**2)
        stream *= b
        kind = "attention.out.weight" if i % 2 == 0 else "feed_forward.down.weight"
        unit = attention_unit_scale(shape) if i % 2 == 0 else activation_unit_scale(shape)
        found = branch_multiplier(f"blocks.{i // 2}.{kind}", shape=shape, base=BASE, table=parametrization("u-mup"))
        assert found / unit == pytest.approx(a / stream)


@pytest.mark.parametrize("kind", ["relu", "relu2"])
def test_unit_scales_of_the_relus_make_their_second_moment_one(kind: str) -> None:
    z = torch.randn(2_000_000, generator=torch.Generator().manual_seed(0))
    f = z.clamp(min=0) ** (2 if kind == "relu2" else 1)
    scale = activation_unit_scale(dataclasses.replace(BASE, feed_forward=kind))  # type: ignore[arg-type]
    assert (scale * f).pow(2).mean().item() == pytest.approx(1.0, rel=0.02)


def test_folding_a_multiplier_changes_nothing_that_adam_does() -> None:
    """y = A·W·x trained with std B and rate C equals y = W'·x with std A·B and rate A·C, ε/A."""
    torch.manual_seed(0)
    multiplier, x, y = 0.125, torch.randn(32, 8), torch.randn(32, 4)
    unfolded, folded = nn.Linear(8, 4, bias=False), nn.Linear(8, 4, bias=False)
    with torch.no_grad():
        folded.weight.copy_(multiplier * unfolded.weight)
    first = torch.optim.AdamW(unfolded.parameters(), lr=0.1, eps=1e-3, weight_decay=0.2)
    second = torch.optim.AdamW(
        folded.parameters(), lr=0.1 * multiplier, eps=1e-3 / multiplier, weight_decay=0.2 / multiplier
    )
    for _ in range(20):
        for model, optimizer, scale in ((unfolded, first, multiplier), (folded, second, 1.0)):
            optimizer.zero_grad()
            ((scale * model(x) - y) ** 2).mean().backward()
            optimizer.step()
    assert torch.allclose(multiplier * unfolded.weight, folded.weight, atol=1e-6)


@pytest.mark.parametrize("name", sorted(PARAMETRIZATIONS))
def test_every_weight_is_initialised_and_trained_by_its_rule(name: str) -> None:
    model, rules = build_model(WIDE_DEEP, parametrization(name), base=BASE, seed=0)
    groups = build_optimizer(model, rules, OptimizerConfig(lr=0.3, weight_decay=1e-4)).param_groups
    peak_of = {id(weight): group["peak_lr"] for group in groups for weight in group["params"]}
    decay_of = {id(weight): group["lr"] * group["weight_decay"] for group in groups for weight in group["params"]}
    for weight_name, weight in model.named_parameters():
        assert weight.std().item() == pytest.approx(rules[weight_name].init_std, rel=0.05)
        assert peak_of[id(weight)] == pytest.approx(0.3 * rules[weight_name].lr_factor)
        hidden = rules[weight_name].role == "hidden"
        assert decay_of[id(weight)] == pytest.approx(1e-4 if hidden else 0.0)


def test_an_unknown_name_offers_the_known_ones() -> None:
    with pytest.raises(UserError, match="sp, mup, u-mup, completep"):
        parametrization("mu")
