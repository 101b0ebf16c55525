"""Parametrisations as one table: role × rule, in the papers' A (multiplier), B (init), C (Adam learning rate) form.

| symbol | meaning |
| --- | --- |
| fan_in | inputs of the weight (an embedding: its width, so that one rule gives u-μP's embedding rate) |
| m_N | width / base width |
| m_L | layers / base layers |
| layers | number of blocks, each attention + feed-forward |

Sources: SP and μP: Yang et al. 2022 (arXiv 2203.03466, table 8); u-μP: Blake et al. 2024 (arXiv 2407.17465, table 2);
CompleteP: Dey et al. 2025 (arXiv 2505.01618, table 1 with α = 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from isoflop.errors import UserError
from isoflop.shapes import ModelShape

Role = Literal["embedding", "hidden", "output", "gain", "bias"]


@dataclass(frozen=True)
class Power:
    """constant * fan_in**fan_in_power * m_N**width * m_L**depth * layers**layers."""

    constant: float = 1.0
    fan_in: float = 0.0
    width: float = 0.0
    depth: float = 0.0
    layers: float = 0.0

    def at(self, size: Size, fan_in: int) -> float:
        return float(
            self.constant
            * fan_in**self.fan_in
            * size.width_ratio**self.width
            * size.depth_ratio**self.depth
            * size.layers**self.layers
        )


ONE = Power()


@dataclass(frozen=True)
class Rule:
    """One cell of the table: init standard deviation (B), forward multiplier (A), factor on Adam's rate (C)."""

    init: Power = ONE
    multiplier: Power = ONE
    lr: Power = ONE


@dataclass(frozen=True)
class Parametrization:
    """A whole parametrisation.

    `head_power` p scales attention logits by head_size**-p; `branch` is the factor on every residual branch;
    `unit_scaled` adds u-μP's factors after non-linearities.
    """

    name: str
    rules: Mapping[Role, Rule]
    head_power: float
    branch: Power
    unit_scaled: bool


SP_STD = 0.02
"""Init of GPT-2 and most models since (Radford et al. 2019); μP and CompleteP use it at the base width."""

SP = Parametrization(
    "sp",
    {
        "embedding": Rule(init=Power(SP_STD)),
        "hidden": Rule(init=Power(SP_STD)),
        "output": Rule(init=Power(SP_STD)),
    },
    head_power=0.5,
    branch=ONE,
    unit_scaled=False,
)
MUP = Parametrization(
    "mup",
    {
        "embedding": Rule(init=Power(SP_STD)),
        "hidden": Rule(init=Power(SP_STD, width=-0.5), lr=Power(width=-1)),
        "output": Rule(init=Power(SP_STD), multiplier=Power(width=-1)),
    },
    head_power=1.0,
    branch=ONE,
    unit_scaled=False,
)
COMPLETEP = Parametrization(
    "completep",
    dict(MUP.rules),  # at α = 1 the learning rates carry no depth factor: only the residual branches do
    head_power=1.0,
    branch=Power(depth=-1),
    unit_scaled=False,
)
UMUP = Parametrization(
    "u-mup",
    {
        "embedding": Rule(lr=Power(fan_in=-0.5)),
        "hidden": Rule(multiplier=Power(fan_in=-0.5), lr=Power(fan_in=-0.5, layers=-0.5)),
        "output": Rule(multiplier=Power(fan_in=-1)),
    },
    head_power=1.0,
    # u-μP's scheme (appendix G.2, all α at 1) is x ← b·x + a·f(x) with τ_i² = 1/(L + i), a = τ/√(1+τ²), b = 1/√(1+τ²).
    # Divided by the stream's running factor, a_i / (b_0⋯b_i) telescopes to 1/√L for every branch i.
    branch=Power(layers=-0.5),
    unit_scaled=True,
)

PARAMETRIZATIONS: Mapping[str, Parametrization] = {p.name: p for p in (SP, MUP, UMUP, COMPLETEP)}


def parametrization(name: str) -> Parametrization:
    """The parametrisation called `name`. Raises `UserError` for an unknown one."""
    if name not in PARAMETRIZATIONS:
        raise UserError(f"No parametrisation is called {name!r}: choose one of {', '.join(PARAMETRIZATIONS)}.")
    return PARAMETRIZATIONS[name]


@dataclass(frozen=True)
class Size:
    """What a rule may depend on besides the weight's own fan-in."""

    width_ratio: float
    depth_ratio: float
    layers: int

    @classmethod
    def of(cls, shape: ModelShape, base: ModelShape) -> Size:
        return cls(shape.width / base.width, shape.layers / base.layers, shape.layers)


@dataclass(frozen=True)
class WeightRule:
    """What a plain model needs to know of one weight: init standard deviation and factors on the global rate and ε."""

    role: Role
    init_std: float
    lr_factor: float
    eps_factor: float
    init_mean: float = 0.0


def weight_rule(name: str, *, shape: ModelShape, base: ModelShape, table: Parametrization, fan_in: int) -> WeightRule:
    """The folded rule of the weight called `name` (a name in `Decoder.named_parameters()`).

    Folding: A → 1, B → A·B, C → A·C, ε → ε/A (docs/decisions/0002).
    """
    role = role_of(name)
    if role in ("gain", "bias"):
        return WeightRule(role, init_std=0.0, lr_factor=1.0, eps_factor=1.0, init_mean=float(role == "gain"))
    rule, size = table.rules[role], Size.of(shape, base)
    multiplier = rule.multiplier.at(size, fan_in) * branch_multiplier(name, shape=shape, base=base, table=table)
    return WeightRule(
        role=role,
        init_std=rule.init.at(size, fan_in) * multiplier,
        lr_factor=rule.lr.at(size, fan_in) * multiplier,
        eps_factor=1 / multiplier,
    )


def role_of(name: str) -> Role:
    """The role of a weight, from its name alone, so that no sharding of the tensor can lose it."""
    if name.endswith(".bias"):
        return "bias"
    module = name.split(".")[-2]
    if module == "norm" or module.endswith("_norm"):
        return "gain"
    if module in ("embedding", "position_table", "segment_table", "relative"):
        return "embedding"
    return "output" if module in ("head", "pair_head") else "hidden"


def logit_scale(shape: ModelShape, table: Parametrization) -> float:
    """The factor on q·k: head_size**-1/2 (SP) or 1/head_size (μP and its kin)."""
    return float(shape.head_size**-table.head_power)


def branch_multiplier(name: str, *, shape: ModelShape, base: ModelShape, table: Parametrization) -> float:
    """What the last weight of a residual branch takes over: the branch's factor and the non-linearity's unit scale."""
    if not name.endswith(("attention.out.weight", "cross.out.weight", "feed_forward.down.weight")):
        return 1.0
    factor = table.branch.at(Size.of(shape, base), 1)
    if not table.unit_scaled:
        return factor
    after_attention = name.endswith(".out.weight")
    return factor * (attention_unit_scale(shape) if after_attention else activation_unit_scale(shape))


def attention_unit_scale(shape: ModelShape) -> float:
    """u-μP's factor after causal attention at α = 1 (arXiv 2407.17465, appendix B; T keys = the context)."""
    spread = 1 / (1 + 4 * shape.head_size)
    low = math.sqrt(math.log(shape.context) / shape.context) if shape.context > 1 else 1.0
    return float(low ** (spread - 1))


def activation_unit_scale(shape: ModelShape) -> float:
    """u-μP's factor after the activation at α = 1; for the ReLUs, 1/√E[f(z)²] with z standard normal."""
    if shape.is_gated:
        return 2**0.75
    if shape.feed_forward in ("gelu", "gelu_tanh"):
        low, high, weight = 2.0, math.sqrt(2 / (1 - 1 / math.pi)), 1 / 1.25
        return math.exp(weight * math.log(high) + (1 - weight) * math.log(low))
    return math.sqrt(2.0) if shape.feed_forward == "relu" else math.sqrt(2 / 3)
