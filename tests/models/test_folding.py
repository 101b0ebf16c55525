"""Names have roles, and what is folded into weights is what the unfolded network would multiply by."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from isoflop.errors import UserError
from isoflop.models import PARAMETRIZATIONS, parametrization
from isoflop.models.build import STACKS
from isoflop.models.folding import (
    activation_unit_scale,
    attention_unit_scale,
    branch_multiplier,
    refuse_tied,
    residual_factor,
    role_of,
    weight_rules,
)
from isoflop.models.parametrization import Alphas, umup
from isoflop.shapes import ModelShape, published_shape

BASE = ModelShape(layers=2, width=32, heads=2, vocab=64, context=16, ffn=88, norm="plain")
ROLES = {
    "embedding": "embedding position_table segment_table relative encoder.position_table decoder.relative",
    "hidden": (
        "blocks.0.attention.qkv blocks.0.attention.out blocks.0.cross.q blocks.0.cross.kv blocks.0.cross.out "
        "blocks.11.feed_forward.up decoder.blocks.3.feed_forward.down transform pooler"
    ),
    "output": "head pair_head",
    "gain": (
        "norm embedding_norm transform_norm encoder.norm blocks.0.attention_norm blocks.0.cross_norm "
        "blocks.0.feed_forward_norm blocks.0.attention.q_norm blocks.0.attention.k_norm"
    ),
}


def test_every_name_of_the_models_has_its_role() -> None:
    for role, names in ROLES.items():
        for name in names.split():
            assert role_of(f"{name}.weight") == role
            assert role_of(f"{name}.bias") == "bias"
    assert role_of("position_table") == "embedding"
    with pytest.raises(ValueError, match=r"blocks.0.router.weight has no role"):
        role_of("blocks.0.router.weight")


@pytest.mark.parametrize("alphas", [Alphas(), Alphas(residual=2.0, residual_attention=0.5)])
@pytest.mark.parametrize("layers", [1, 3, 12])
def test_pre_norm_branches_carry_the_running_scheme_of_u_mup(layers: int, alphas: Alphas) -> None:
    """x ← b·x + a·f(x): divided by what the stream has been multiplied by, all branches of a kind weigh the same."""
    shape, stream, before = dataclasses.replace(BASE, layers=layers), 1.0, float(layers)
    ratio = alphas.residual_attention
    square = {False: alphas.residual**2 * 2 / (1 + ratio**2)}
    square[True] = ratio**2 * square[False]
    for i in range(2 * layers):
        is_attention = i % 2 == 0
        tau = (square[is_attention] / before) ** 0.5
        before += square[is_attention]
        a, b = tau / (1 + tau**2) ** 0.5, (1 + tau**2) ** -0.5
        stream *= b
        name = f"blocks.{i // 2}.{'attention.out' if is_attention else 'feed_forward.down'}"
        found = residual_factor(f"{name}.weight", shape=shape, base=BASE, table=umup(alphas))
        assert found == pytest.approx(a / stream)


def test_the_unit_scale_goes_into_the_weight_and_not_into_its_bias() -> None:
    table, down = parametrization("u-mup"), "blocks.1.feed_forward.down"
    weight, bias = (
        branch_multiplier(f"{down}.{kind}", shape=BASE, base=BASE, table=table) for kind in ("weight", "bias")
    )
    assert bias == pytest.approx(2**-0.5)
    assert weight == pytest.approx(bias * activation_unit_scale(BASE))


def test_attention_in_both_directions_and_across_is_scaled_by_its_own_rule() -> None:
    table = parametrization("u-mup")
    shape = dataclasses.replace(BASE, stack="encoder_decoder")

    def unit(name: str, at: ModelShape = shape) -> float:
        factor = residual_factor(f"{name}.weight", shape=at, base=at, table=table)
        return branch_multiplier(f"{name}.weight", shape=at, base=at, table=table) / factor

    both, one = (attention_unit_scale(shape, table, causal=causal) for causal in (False, True))
    assert both > one
    assert unit("encoder.blocks.0.attention.out") == pytest.approx(both)
    assert unit("decoder.blocks.0.attention.out") == pytest.approx(one)
    assert unit("decoder.blocks.0.cross.out") == pytest.approx(both)
    assert unit("blocks.0.attention.out", dataclasses.replace(BASE, stack="encoder")) == pytest.approx(both)


def test_a_bias_has_the_fan_in_of_the_weight_beside_it() -> None:
    sizes = {"blocks.0.feed_forward.up.weight": (88, 32), "blocks.0.feed_forward.up.bias": (88,)}
    rules = weight_rules(sizes, parametrization("u-mup"), shape=BASE, base=BASE)
    assert rules["blocks.0.feed_forward.up.bias"].lr_factor == pytest.approx(32**-0.5 * 2**-0.5)


def test_a_window_counts_the_keys_it_lets_be_seen() -> None:
    table = parametrization("u-mup")
    window = dataclasses.replace(BASE, attention="window", attention_span=4)
    short = dataclasses.replace(BASE, context=4)
    found = attention_unit_scale(window, table, causal=True)
    assert found == pytest.approx(attention_unit_scale(short, table, causal=False))


@pytest.mark.parametrize("name", ["gpt2", "bert-base", "t5-small", "llama-3-8b"])
def test_every_weight_of_published_models_has_a_rule(name: str) -> None:
    shape = published_shape(name)
    with torch.device("meta"):
        sizes = {name: tuple(w.shape) for name, w in STACKS[shape.stack](shape, logit_scale=1.0).named_parameters()}
    for table in PARAMETRIZATIONS.values():
        rules = weight_rules(sizes, table, shape=shape, base=shape)
        assert all(0 < rule.lr_factor < 2 and rule.eps_factor > 0 for rule in rules.values())


def test_a_head_that_is_the_embedding_is_refused_where_it_needs_a_scale_of_its_own() -> None:
    tied, wide = dataclasses.replace(BASE, tied=True), dataclasses.replace(BASE, tied=True, width=64, ffn=176)
    for name, shape in (("sp", wide), ("mup", tied), ("completep", tied), ("u-mup", BASE)):
        refuse_tied(shape, parametrization(name), base=BASE)
    for name, shape in (("mup", wide), ("u-mup", tied)):
        with pytest.raises(UserError, match="can't train a model whose head is the embedding"):
            refuse_tied(shape, parametrization(name), base=BASE)


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
