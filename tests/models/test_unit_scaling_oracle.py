"""u-μP against its authors' package `unit-scaling`: factors, rates, and a whole model trained for some steps."""

from __future__ import annotations

import dataclasses
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from isoflop.evaluation import batch_loss
from isoflop.models import Batch, Decoder, build_model
from isoflop.models.folding import (
    WeightRule,
    activation_unit_scale,
    attention_unit_scale,
    residual_factor,
    weight_rule,
)
from isoflop.models.parametrization import Alphas, umup
from isoflop.models.positions import rotate
from isoflop.shapes import ModelShape
from isoflop.training import OptimizerConfig, build_optimizer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    uu = pytest.importorskip("unit_scaling")
    import unit_scaling.functional as U
    from unit_scaling.core.functional import transformer_residual_scaling_rule
    from unit_scaling.optim import AdamW as UnitAdamW

SHAPE = ModelShape(layers=3, width=24, heads=4, kv_heads=2, vocab=40, context=12, ffn=40, norm="plain")
TUNED = Alphas(residual=0.5, residual_attention=2.0, attention=1.5, loss=0.7)


def gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weights = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(9))
    return torch.autograd.grad((output * weights).sum(), inputs)


def randoms(*shapes: tuple[int, ...]) -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(shape, dtype=torch.float64, generator=draw).requires_grad_() for shape in shapes]


def assert_is_scaled(theirs: Tensor, plain: Tensor, inputs: list[Tensor], scale: float) -> None:
    """Forward, and the gradient of every input, are the plain operation's times the same `scale`."""
    assert torch.allclose(theirs, scale * plain)
    for one, other in zip(gradients(theirs, *inputs), gradients(plain, *inputs), strict=True):
        assert torch.allclose(one, scale * other)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("alphas", [Alphas(), TUNED])
def test_the_factor_behind_attention_is_theirs(causal: bool, alphas: Alphas) -> None:
    table = umup(alphas)
    inputs = randoms(*[(2, SHAPE.heads, SHAPE.context, SHAPE.head_size)] * 3)
    theirs = U.scaled_dot_product_attention(*inputs, is_causal=causal, mult=alphas.attention)
    plain = F.scaled_dot_product_attention(*inputs, is_causal=causal, scale=alphas.attention / SHAPE.head_size)
    assert_is_scaled(theirs, plain, inputs, attention_unit_scale(SHAPE, table, causal=causal))


def test_the_factor_behind_swiglu_is_theirs() -> None:
    value, gate = randoms((5, 8), (5, 8))
    assert_is_scaled(U.silu_glu(value, gate), value * F.silu(gate), [value, gate], activation_unit_scale(SHAPE))


def test_the_factor_behind_gelu_is_theirs() -> None:
    (x,) = randoms((5, 8))
    gelu = dataclasses.replace(SHAPE, feed_forward="gelu")
    assert_is_scaled(U.gelu(x), F.gelu(x), [x], activation_unit_scale(gelu))


@pytest.mark.parametrize("alphas", [Alphas(), TUNED])
@pytest.mark.parametrize("name", ["blocks.0.feed_forward.up", "head"])
def test_multipliers_of_matrices_are_theirs(name: str, alphas: Alphas) -> None:
    x, weight = randoms((5, 24), (7, 24))
    found = weight_rule(f"{name}.weight", shape=SHAPE, base=SHAPE, table=umup(alphas), fan_in=24)
    theirs = U.linear_readout(x, weight, None) * alphas.loss if name == "head" else U.linear(x, weight, None)
    assert torch.allclose(theirs, F.linear(x, weight) * found.init_std)  # B = 1, so the folded init is A


@pytest.mark.parametrize("alphas", [Alphas(), TUNED])
@pytest.mark.parametrize("layers", [1, 4])
def test_post_norm_branches_have_their_tau(layers: int, alphas: Alphas) -> None:
    """Both public formulas of τ: the library's, and Aleph Alpha's with its depth set to the number of blocks."""
    shape = dataclasses.replace(SHAPE, layers=layers, norm_place="post")
    library = transformer_residual_scaling_rule(alphas.residual, alphas.residual_attention)
    ratio = alphas.residual_attention
    feed_forward = 2 * alphas.residual**2 / (ratio**2 + 1)
    for i in range(2 * layers):
        kind = "attention.out" if i % 2 == 0 else "feed_forward.down"
        found = residual_factor(f"blocks.{i // 2}.{kind}.weight", shape=shape, base=shape, table=umup(alphas))
        block = i // 2
        earlier = block * (1 + ratio**2) * feed_forward + (0 if i % 2 == 0 else ratio**2 * feed_forward)
        other = ((ratio**2 if i % 2 == 0 else 1) * feed_forward / (layers + earlier)) ** 0.5
        assert found == pytest.approx(library(i, 2 * layers)) == pytest.approx(other)


class UnfoldedDecoder:
    """Our decoder made of the package's operations; its weights are ours divided by their first standard deviation."""

    def __init__(self, model: Decoder, rules: dict[str, WeightRule], alphas: Alphas) -> None:
        self.shape, self.alphas, self.rotation = model.shape, alphas, (model.cos_TC, model.sin_TC)
        self.weights = {}
        for name, weight in model.named_parameters():
            kind = "output" if name.startswith("head") else "weight"
            self.weights[name] = uu.Parameter(weight.detach() / rules[name].init_std, mup_type=kind)
            if name.startswith("blocks"):
                self.weights[name].mup_scaling_depth = model.shape.layers
        self.tau = transformer_residual_scaling_rule(alphas.residual, alphas.residual_attention)

    def __call__(self, tokens_BT: Tensor) -> Tensor:
        x_BTD, shrunk, depth = U.embedding(tokens_BT, self.weights["embedding.weight"]), 1.0, 2 * self.shape.layers
        for i in range(depth):
            tau = self.tau(i, depth)
            branch_BTD, skip_BTD = U.residual_split(x_BTD, tau=tau)
            branch = self.attention if i % 2 == 0 else self.feed_forward
            out_BTD = branch(f"blocks.{i // 2}.", normed(branch_BTD, shrunk))
            x_BTD = U.residual_add(out_BTD, skip_BTD, tau=tau)
            shrunk /= (1 + tau**2) ** 0.5
        return U.linear_readout(normed(x_BTD, shrunk), self.weights["head.weight"], None)

    def attention(self, prefix: str, x_BTD: Tensor) -> Tensor:
        qkv_BTE = U.linear(x_BTD, self.weights[prefix + "attention.qkv.weight"], None)
        shape, (batch, length, _) = self.shape, x_BTD.shape
        parts = qkv_BTE.view(batch, length, -1, shape.head_size).transpose(1, 2)
        q, k, v = parts.split((shape.heads, shape.n_kv_heads, shape.n_kv_heads), dim=1)
        group = shape.heads // shape.n_kv_heads
        q, k, v = (
            rotate(q, self.rotation),
            rotate(k, self.rotation).repeat_interleave(group, 1),
            v.repeat_interleave(group, 1),
        )
        y = U.scaled_dot_product_attention(q, k, v, is_causal=True, mult=self.alphas.attention)
        return U.linear(y.transpose(1, 2).flatten(2), self.weights[prefix + "attention.out.weight"], None)

    def feed_forward(self, prefix: str, x_BTD: Tensor) -> Tensor:
        gate, value = U.linear(x_BTD, self.weights[prefix + "feed_forward.up.weight"], None).chunk(2, dim=-1)
        return U.linear(U.silu_glu(value, gate), self.weights[prefix + "feed_forward.down.weight"], None)


def normed(x: Tensor, shrunk: float) -> Tensor:
    """RMSNorm in double precision (theirs rounds to single); its ε shrinks with the stream, which ours never scales."""
    return x / (x.pow(2).mean(-1, keepdim=True) + SHAPE.norm_eps * shrunk**2).sqrt()


def both_models(alphas: Alphas) -> tuple[Decoder, dict[str, WeightRule], UnfoldedDecoder, Tensor]:
    model, rules = build_model(SHAPE, umup(alphas), base=SHAPE, seed=0)
    model = model.double()
    rows = torch.randint(SHAPE.vocab, (4, SHAPE.context + 1), generator=torch.Generator().manual_seed(3))
    return model, rules, UnfoldedDecoder(model, rules, alphas), rows


@pytest.mark.parametrize("alphas", [Alphas(), TUNED])
def test_the_folded_decoder_is_the_packages_one_before_and_while_training(alphas: Alphas) -> None:
    ours, rules, theirs, rows = both_models(alphas)
    batch = Batch(rows[:, :-1], rows[:, 1:])
    mine = build_optimizer(ours, rules, OptimizerConfig(lr=0.5, weight_decay=1e-2, beta2=0.95, eps=1e-30))
    other = UnitAdamW(list(theirs.weights.values()), lr=0.5, weight_decay=1e-2, betas=(0.9, 0.95), eps=1e-30)
    losses = []
    for _ in range(6):
        logits = theirs(batch.inputs)
        assert torch.allclose(ours(batch), alphas.loss * logits, rtol=1e-6, atol=1e-8)
        loss = U.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), mult=alphas.loss)
        mine.zero_grad()
        other.zero_grad()
        own = batch_loss(ours, batch)
        own.backward()
        loss.backward()
        assert loss.item() == pytest.approx(own.item(), rel=1e-7)
        for name, weight in ours.named_parameters():  # true up to one factor for each weight, which Adam forgets
            one, two = weight.grad.flatten(), theirs.weights[name].grad.flatten()  # type: ignore[union-attr]
            assert F.cosine_similarity(one, two, dim=0).item() == pytest.approx(1.0, abs=1e-9)
        mine.step()
        other.step()
        losses.append(own.item())
    assert losses[-1] < losses[0] - 0.1, "it must have learnt something for the comparison to mean anything"


def test_rates_and_decay_of_every_weight_are_theirs() -> None:
    ours, rules, theirs, _ = both_models(Alphas())
    mine = build_optimizer(ours, rules, OptimizerConfig(lr=0.5, weight_decay=2**-13))
    other = UnitAdamW(list(theirs.weights.values()), lr=0.5, weight_decay=2**-13)
    group_of = {id(weight): group for group in mine.param_groups for weight in group["params"]}
    names = list(theirs.weights)
    for name, group in zip(names, other.param_groups, strict=True):
        mine_group = group_of[id(ours.get_parameter(name))]
        assert mine_group["lr"] / rules[name].init_std == pytest.approx(group["lr"])
        assert mine_group["lr"] * mine_group["weight_decay"] == pytest.approx(group["lr"] * group["weight_decay"])
