"""Optimisers do what their papers say, at the rates that the parametrisation gives, and come back from a checkpoint."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

from isoflop.data.batches import shifted
from isoflop.errors import UserError
from isoflop.evaluation import batch_loss
from isoflop.models import build_model, parametrization
from isoflop.models.folding import attention_unit_scale
from isoflop.models.parametrization import Size
from isoflop.shapes import ModelShape
from isoflop.training import SGD, AdamW, Muon, OptimizerConfig, Rates, build_optimizer

BASE = ModelShape(layers=2, width=32, heads=4, kv_heads=2, vocab=64, context=16, ffn=48)
METHODS = [AdamW(), Muon(), SGD()]


def wide(times: int) -> ModelShape:
    return ModelShape(layers=2, width=32 * times, heads=4, kv_heads=2, vocab=64, context=16, ffn=48 * times)


def built(method: Any, name: str, shape: ModelShape = BASE, *, lr: float = 0.1, weight_decay: float = 0.0) -> Any:
    table = parametrization(name)
    model, rules = build_model(shape, table, base=BASE, seed=0)
    return model, rules, method.build(model, rules, Rates(lr, weight_decay, table, Size.of(shape, BASE)))


def gradients(model: torch.nn.Module, seed: int = 0) -> None:
    rows = torch.randint(64, (4, 17), generator=torch.Generator().manual_seed(seed))
    model.zero_grad()
    batch_loss(model, shifted(rows)).backward()


def updates(method: Any, name: str, shape: ModelShape = BASE, **rates: float) -> dict[str, torch.Tensor]:
    """What one step changes, by weight."""
    model, _, optimizer = built(method, name, shape, **rates)
    before = copy.deepcopy(dict(model.named_parameters()))
    gradients(model)
    optimizer.step()
    return {key: (value - before[key]).detach() for key, value in model.named_parameters()}


def test_adamw_is_the_study_s_optimiser_bit_for_bit() -> None:
    table = parametrization("u-mup")
    model, rules = build_model(BASE, table, base=BASE, seed=0)
    optimizer = build_optimizer(model, rules, OptimizerConfig(lr=0.1, weight_decay=0.01))
    other, _, method = built(AdamW(), "u-mup", weight_decay=0.01)
    for step in range(3):
        for one, way in ((model, optimizer), (other, method)):
            gradients(one, step)
            way.step()
    assert all((a == b).all() for a, b in zip(model.parameters(), other.parameters(), strict=True))


PARTS = {
    "blocks.0.attention.qkv.weight": [32, 16, 16],
    "blocks.0.attention.out.weight": [32],
    "blocks.1.feed_forward.up.weight": [48, 48],
    "blocks.1.feed_forward.down.weight": [32],
}
"""The heights of the matrices that a weight holds: query, key, value; gate, value."""


@pytest.mark.parametrize("name", PARTS)
def test_muon_makes_the_update_of_each_matrix_orthogonal_and_as_large_as_adamw_s(name: str) -> None:
    model, _, optimizer = built(Muon(), "sp", lr=1.0)
    weight = dict(model.named_parameters())[name]
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    before = weight.detach().clone()
    optimizer.step()
    for part in (weight.detach() - before).split(PARTS[name]):
        values = torch.linalg.svdvals(part) / (0.2 * math.sqrt(max(part.shape)))
        assert values.max() < 1.3  # five steps of Newton–Schulz leave most between 0.7 and 1.2, the smallest lower
        assert values.median() > 0.6
        assert part.square().mean().sqrt() == pytest.approx(0.2, rel=0.25)


@pytest.mark.parametrize("name", PARTS)
def test_muon_is_torch_s_own_on_each_matrix_alone(name: str) -> None:
    model, _, optimizer = built(Muon(), "sp", weight_decay=0.02)
    weight = dict(model.named_parameters())[name]
    twins = [torch.nn.Parameter(part.clone()) for part in weight.detach().split(PARTS[name])]
    theirs = torch.optim.Muon(twins, lr=0.1, weight_decay=0.02 / 0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for step in range(3):
        gradients(model, step)
        assert weight.grad is not None
        for twin, part in zip(twins, weight.grad.split(PARTS[name]), strict=True):
            twin.grad = part.clone()
        optimizer.step()
        theirs.step()
    assert (weight == torch.cat(twins)).all()


def test_muon_trains_what_is_no_hidden_matrix_with_adamw() -> None:
    with_muon, with_adamw = updates(Muon(), "mup", wide(2)), updates(AdamW(), "mup", wide(2))
    for name, change in with_adamw.items():
        hidden = name.startswith("blocks") and "norm" not in name
        assert (change == with_muon[name]).all() != hidden


def first_change(name: str, shape: ModelShape, weight_name: str) -> torch.Tensor:
    """What Muon's first step does to a weight whose gradient is white noise."""
    model, _, optimizer = built(Muon(), name, shape)
    weight = dict(model.named_parameters())[weight_name]
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    before = weight.detach().clone()
    optimizer.step()
    return weight.detach() - before


@pytest.mark.parametrize("name", ["mup", "completep", "u-mup"])
def test_muon_s_update_moves_a_layer_as_much_at_any_width(name: str) -> None:
    """Its spectral norm is the same at every width, where at Adam's own rate it would fall with the root of it."""
    norms = [torch.linalg.matrix_norm(first_change(name, wide(n), "blocks.0.attention.out.weight"), 2) for n in (1, 4)]
    unit = [attention_factor(name, n) for n in (1, 4)]
    assert norms[0] / unit[0] == pytest.approx((norms[1] / unit[1]).item(), rel=0.1)


def attention_factor(name: str, times: int) -> float:
    """u-μP's scale of what attention gives, which is folded into this weight and depends on the head's size."""
    return attention_unit_scale(wide(times), parametrization(name), causal=True) if name == "u-mup" else 1.0


def test_muon_at_the_base_shape_is_as_large_under_mup_as_under_sp() -> None:
    one, other = (first_change(name, BASE, "blocks.0.feed_forward.down.weight") for name in ("sp", "mup"))
    assert torch.allclose(one, other, atol=1e-6)


def test_sgd_s_rates_are_mup_s_table_for_it() -> None:
    """Folded: the output's multiplier 1/m makes of its rate m the rate m/m² (Yang et al. 2022, table 8)."""
    model, _, optimizer = built(SGD(), "mup", wide(4))
    rate = {id(p): group["peak_lr"] for group in optimizer.param_groups for p in group["params"]}
    names = dict(model.named_parameters())
    expected = {"embedding.weight": 4.0, "head.weight": 1 / 4, "blocks.0.attention.qkv.weight": 1.0, "norm.weight": 4.0}
    assert {name: rate[id(names[name])] / 0.1 for name in expected} == pytest.approx(expected)
    assert {group["peak_lr"] for group in built(SGD(), "sp", wide(4))[2].param_groups} == {0.1}


def test_sgd_is_momentum_by_hand() -> None:
    model, _, optimizer = built(SGD(momentum=0.5), "sp", weight_decay=0.01)
    weight = dict(model.named_parameters())["blocks.0.attention.out.weight"]
    value, speed = weight.detach().clone(), torch.zeros_like(weight)
    for step in range(3):
        gradients(model, step)
        assert weight.grad is not None
        speed = 0.5 * speed + weight.grad + 0.01 * 0.5 / 0.1 * value
        value = value - 0.1 * speed
        optimizer.step()
    assert torch.allclose(weight, value, atol=1e-7)


@pytest.mark.parametrize("name", ["u-mup", "completep"])
def test_sgd_without_a_published_rule_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="no published rates for SGD"):
        built(SGD(), name)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_weight_decay_takes_its_share_of_matrices_alone(method: Any) -> None:
    """With steady weights and no gradient; the share does not depend on the rate."""
    for lr in (0.1, 10.0):
        model, _, optimizer = built(method, "sp", lr=lr, weight_decay=0.01)
        before = copy.deepcopy(dict(model.named_parameters()))
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        share = 0.01 * (1 - method.momentum if method.name == "sgd" else 1)  # the first step of a momentum
        for name, parameter in model.named_parameters():
            expected = before[name] * (1 - (share if parameter.ndim == 2 else 0.0))
            assert torch.allclose(parameter, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_saved_state_goes_on_bit_for_bit(method: Any) -> None:
    model, _, optimizer = built(method, "mup")
    for step in range(2):
        gradients(model, step)
        optimizer.step()
    state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    gradients(model, 5)
    optimizer.step()
    other, _, again = built(method, "mup")
    other.load_state_dict(state[0])
    again.load_state_dict(state[1])
    gradients(other, 5)
    again.step()
    assert all((a == b).all() for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("wrong", [lambda: AdamW(beta1=1.0), lambda: Muon(momentum=-0.1), lambda: SGD(momentum=1.0)])
def test_impossible_settings_are_refused(wrong: Any) -> None:
    with pytest.raises(UserError, match="at least 0 and below 1"):
        wrong()
