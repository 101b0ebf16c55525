"""Parametrisations as one table: role × rule, in the papers' A (multiplier), B (init), C (Adam learning rate) form.

| symbol | meaning |
| --- | --- |
| fan_in | inputs of the weight (an embedding or gain: its width, so that one rule gives u-μP's embedding rate) |
| m_N | width / base width |
| m_L | layers / base layers |
| layers | number of blocks, each attention + feed-forward |

docs/parametrizations.md shows the table with each entry's source; `folding` says what of it a plain model needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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

    def times(self, constant: float) -> Power:
        """The same rule with another constant factor."""
        return Power(self.constant * constant, self.fan_in, self.width, self.depth, self.layers)


ONE = Power()
ZERO = Power(0.0)


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
class Rule:
    """One role's row: init (B), forward multiplier (A), factor on Adam's rate (C), whether weight decay touches it.

    `init` is a standard deviation; `start` is the value around which it is drawn (gains start at 1).
    """

    init: Power
    multiplier: Power = ONE
    lr: Power = ONE
    decays: bool = True
    start: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class BlockRule:
    """What every weight inside a residual block has besides its role, and the factor on what a branch adds."""

    branch: Power = ONE
    lr: Power = ONE
    eps: Power = ONE
    source: str = ""


@dataclass(frozen=True)
class Alphas:
    """u-μP's tunable multipliers (arXiv 2407.17465, table 3), all 1 by default.

    `residual` is the variance that all branches together add, relative to the embedding's; `residual_attention` is
    the ratio of attention's part to the feed-forward's; `attention` and `loss` multiply what goes into the softmax of
    the attention and of the loss. α_ffn-act is not offered: the gate shares one weight with the value here.
    """

    residual: float = 1.0
    residual_attention: float = 1.0
    attention: float = 1.0
    loss: float = 1.0

    def __post_init__(self) -> None:
        for name in ("residual", "residual_attention", "attention", "loss"):
            if not getattr(self, name) > 0:
                raise UserError(f"u-μP's multiplier {name} must be above 0, not {getattr(self, name)}.")

    def branch(self, *, attention: bool) -> float:
        """α of an attention or a feed-forward branch: α_f = α_res·√(2/(1+r²)), α_a = r·α_f (appendix G.2.2)."""
        r = self.residual_attention
        feed_forward = self.residual * (2 / (1 + r**2)) ** 0.5
        return r * feed_forward if attention else feed_forward


@dataclass(frozen=True)
class Parametrization:
    """A whole parametrisation.

    `head_power` p scales attention logits by head_size**-p; `unit_scaled` adds u-μP's factors after non-linearities
    and its running residual scheme; `depth_exponent` is the power of the depth in that scheme.
    """

    name: str
    rules: Mapping[Role, Rule]
    block: BlockRule
    head_power: float
    head_source: str
    unit_scaled: bool = False
    depth_exponent: float = 0.5
    alphas: Alphas = field(default_factory=Alphas)


SP_STD = 0.02
"""Init of GPT-2 and most models since (Radford et al. 2019); μP and CompleteP use it at the base width."""
TP5 = "Yang et al. 2022, arXiv 2203.03466"
COMPLETE = "Dey et al. 2025, arXiv 2505.01618, table 1"
UNIT = "Blake et al. 2024, arXiv 2407.17465"


def _standard() -> Parametrization:
    std = Power(SP_STD)
    source = f"{COMPLETE}, column SP"
    rules: dict[Role, Rule] = {
        "embedding": Rule(std, source=source),
        "hidden": Rule(std, source=source),
        "output": Rule(std, source=source),
        "gain": Rule(ZERO, start=1.0, decays=False, source=source),
        "bias": Rule(ZERO, decays=False, source=source),
    }
    return Parametrization("sp", rules, BlockRule(source=source), 0.5, "Vaswani et al. 2017, arXiv 1706.03762, eq. 1")


def _mu_rules(source: str) -> dict[Role, Rule]:
    """μP's rows, which CompleteP shares: what differs between them is inside the residual blocks."""
    return {
        "embedding": Rule(Power(SP_STD), source=source),
        "hidden": Rule(Power(SP_STD, width=-0.5), lr=Power(width=-1), source=source),
        "output": Rule(Power(SP_STD), multiplier=Power(width=-1), source=source),
        "gain": Rule(ZERO, start=1.0, decays=False, source=source),
        "bias": Rule(ZERO, decays=False, source=source),
    }


def _mup() -> Parametrization:
    rules = _mu_rules(f"{TP5}, table 8; {COMPLETE}, column μP")
    block = BlockRule(eps=Power(width=-1), source=f"{COMPLETE}, column μP")
    return Parametrization("mup", rules, block, 1.0, f"{TP5}, definition 4.1")


def completep(alpha: float = 1.0) -> Parametrization:
    """CompleteP (α = 1), or another member of its family: branches times m_L^-α, rates inside blocks m_L^(α-1)."""
    if not 0.5 <= alpha <= 1:
        raise UserError(f"CompleteP's α must be between 0.5 and 1, not {alpha}.")
    block = BlockRule(
        branch=Power(depth=-alpha),
        lr=Power(depth=alpha - 1),
        eps=Power(width=-1, depth=-alpha),
        source=f"{COMPLETE}, column α",
    )
    return Parametrization("completep", _mu_rules(f"{COMPLETE}, column α"), block, 1.0, f"{TP5}, definition 4.1")


def umup(alphas: Alphas | None = None, *, depth_exponent: float = 0.5) -> Parametrization:
    """u-μP with its multipliers `alphas`. A `depth_exponent` other than 1/2 is our extension, in no paper: branches
    then weigh layers^-p and rates inside blocks layers^(p-1), as in CompleteP's family.
    """
    if not 0.5 <= depth_exponent <= 1:
        raise UserError(f"u-μP's depth exponent must be between 0.5 and 1, not {depth_exponent}.")
    alphas = alphas or Alphas()
    table = f"{UNIT}, table 2"
    library = "unit-scaling 0.3.5"
    rules: dict[Role, Rule] = {
        "embedding": Rule(ONE, lr=Power(fan_in=-0.5), source=table),
        "hidden": Rule(ONE, multiplier=Power(fan_in=-0.5), lr=Power(fan_in=-0.5), source=table),
        "output": Rule(ONE, multiplier=Power(alphas.loss, fan_in=-1), source=table),
        "gain": Rule(
            ZERO, lr=Power(fan_in=-0.5), start=1.0, decays=False, source=f"ours, see below ({library}: C = 1)"
        ),
        "bias": Rule(ZERO, multiplier=Power(fan_in=-0.5), decays=False, source=f"{library}, linear and optim"),
    }
    block = BlockRule(
        branch=Power(layers=-depth_exponent),
        lr=Power(layers=depth_exponent - 1),
        source=f"{table} and appendix G.2.2, folded",
    )
    head = f"{TP5}, definition 4.1; {UNIT}, table 8"
    return Parametrization("u-mup", rules, block, 1.0, head, True, depth_exponent, alphas)


SP, MUP, UMUP, COMPLETEP = _standard(), _mup(), umup(), completep()
PARAMETRIZATIONS: Mapping[str, Parametrization] = {p.name: p for p in (SP, MUP, UMUP, COMPLETEP)}


def parametrization(name: str) -> Parametrization:
    """The parametrisation called `name`. Raises `UserError` for an unknown one."""
    if name not in PARAMETRIZATIONS:
        raise UserError(f"No parametrisation is called {name!r}: choose one of {', '.join(PARAMETRIZATIONS)}.")
    return PARAMETRIZATIONS[name]


def logit_scale(shape: ModelShape, table: Parametrization) -> float:
    """The factor on q·k: head_size**-1/2 (SP) or 1/head_size (μP and its kin), times α_attn-softmax."""
    return float(table.alphas.attention * shape.head_size**-table.head_power)
