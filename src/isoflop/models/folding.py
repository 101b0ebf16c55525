"""From the table to plain weights: every multiplier folded into init, learning rate and ε (docs/decisions/0002).

Adam's update does not change under A → 1, B → A·B, C → A·C, ε → ε/A (Yang et al. 2022, arXiv 2203.03466, appendix
J.2.1), and a weight decay that is a share of the weight does not change either. What follows a non-linearity, and the
factor on a residual branch, moves into the branch's last weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from isoflop.errors import UserError
from isoflop.models.parametrization import ONE, Parametrization, Role, Size
from isoflop.shapes import ModelShape

EMBEDDINGS = {"embedding", "position_table", "segment_table", "relative"}
HIDDEN = {"qkv", "q", "kv", "out", "up", "down", "transform", "pooler"}
OUTPUTS = {"head", "pair_head"}
LAST = {("attention", "out"): 0, ("cross", "out"): 1, ("feed_forward", "down"): -1}
"""The last weight of each branch of a block, and the branch's place in it (-1: the last)."""


@dataclass(frozen=True)
class WeightRule:
    """What a plain model needs to know of one weight: where it starts, factors on the global rate and ε, decay."""

    role: Role
    init_mean: float
    init_std: float
    lr_factor: float
    eps_factor: float
    decays: bool


def role_of(name: str) -> Role:
    """The role of a weight, from its name alone (docs/decisions/0006), so that no sharding of the tensor can lose it.

    Raises `ValueError` for a name that has none: a new kind of weight needs a rule before it can be trained.
    """
    parts = _parts(name)
    if name.endswith(".bias"):
        return "bias"
    if parts[-1].endswith("norm"):
        return "gain"
    for names, role in ((EMBEDDINGS, "embedding"), (HIDDEN, "hidden"), (OUTPUTS, "output")):
        if parts[-1] in names:
            return role  # type: ignore[return-value]
    raise ValueError(f"The weight {name} has no role: give its name one in models/folding.py.")


def weight_rules(
    sizes: Mapping[str, tuple[int, ...]], table: Parametrization, *, shape: ModelShape, base: ModelShape
) -> dict[str, WeightRule]:
    """The folded rule of each weight of a model, from the weights' names and sizes (as `named_parameters` has them)."""
    return {name: weight_rule(name, shape=shape, base=base, table=table, fan_in=_fan_in(name, sizes)) for name in sizes}


def weight_rule(name: str, *, shape: ModelShape, base: ModelShape, table: Parametrization, fan_in: int) -> WeightRule:
    """The folded rule of the weight called `name`; a bias has the `fan_in` of the weight that it stands beside."""
    role = role_of(name)
    rule, size = table.rules[role], Size.of(shape, base)
    multiplier = rule.multiplier.at(size, fan_in) * branch_multiplier(name, shape=shape, base=base, table=table)
    inside = "blocks" in name.split(".")
    lr, eps = (table.block.lr, table.block.eps) if inside else (ONE, ONE)
    return WeightRule(
        role=role,
        init_mean=rule.start,
        init_std=rule.init.at(size, fan_in) * multiplier,
        lr_factor=rule.lr.at(size, fan_in) * lr.at(size, fan_in) * multiplier,
        eps_factor=eps.at(size, fan_in) / multiplier,
        decays=rule.decays,
    )


def refuse_tied(shape: ModelShape, table: Parametrization, *, base: ModelShape) -> None:
    """Raise `UserError` where embedding and head share a weight and the table would scale them differently.

    A multiplier can't be folded into a weight for one of its two uses.
    """
    if not shape.tied:
        return
    size = Size.of(shape, base)
    embedding, output = (table.rules[role].multiplier.at(size, shape.width) for role in ("embedding", "output"))
    if embedding != output:
        raise UserError(
            f"{table.name} can't train a model whose head is the embedding: it scales the two differently. "
            "Set tied to false, or take sp."
        )


def branch_multiplier(name: str, *, shape: ModelShape, base: ModelShape, table: Parametrization) -> float:
    """What the last weight of a residual branch takes over: the branch's factor and the non-linearity's unit scale.

    A bias beside it takes the branch's factor alone, since the non-linearity is behind it. 1 for other weights.
    """
    parts = _parts(name)
    if "blocks" not in parts or tuple(parts[-2:]) not in LAST:
        return 1.0
    factor = residual_factor(name, shape=shape, base=base, table=table)
    if not table.unit_scaled or name.endswith(".bias"):
        return factor
    if parts[-2] == "feed_forward":
        return factor * activation_unit_scale(shape)
    across = parts[-2] == "cross"
    both_ways = across or shape.stack == "encoder" or parts[0] == "encoder"
    return factor * attention_unit_scale(shape, table, causal=not both_ways, across=across)


def residual_factor(name: str, *, shape: ModelShape, base: ModelShape, table: Parametrization) -> float:
    """The factor on what the branch of `name` adds to a stream that is not scaled itself.

    u-μP's scheme is x ← b·x + a·f(x) with τ_i² = α_i²/(L^(2p) + Σ_{j<i} α_j²), a = τ/√(1+τ²), b = 1/√(1+τ²)
    (arXiv 2407.17465, appendix G.2.2; p = 1/2). In a pre-norm stack, where norms forget the stream's scale, a_i is
    divided by the running b_0⋯b_i, which telescopes to α_i·L^-p for every branch. In a post-norm stack the stream is
    normed after each addition, so that the factor is a_i/b_i = τ_i.
    """
    parts = _parts(name)
    plain = table.block.branch.at(Size.of(shape, base), 1)
    if not table.unit_scaled:
        return plain
    if shape.norm_place == "post":
        return _tau(parts, shape, table)
    return plain * table.alphas.branch(attention=parts[-2] != "feed_forward")


def _tau(parts: list[str], shape: ModelShape, table: Parametrization) -> float:
    """τ_i of the branch; a block of an encoder-decoder's decoder has two attention branches before its feed-forward."""
    kinds = [True, True, False] if _has_cross(parts, shape) else [True, False]
    place = LAST[parts[-2], parts[-1]] % len(kinds)
    block = int(parts[parts.index("blocks") + 1])
    squares = [table.alphas.branch(attention=kind) ** 2 for kind in kinds]
    before = block * sum(squares) + sum(squares[:place])
    return float((squares[place] / (shape.layers ** (2 * table.depth_exponent) + before)) ** 0.5)


def attention_unit_scale(shape: ModelShape, table: Parametrization, *, causal: bool, across: bool = False) -> float:
    """u-μP's factor after attention: 1/LI(1/(1 + 4·head_size/α²), low, 1), low = √(ln T/T) if causal, else √(1/T)
    (arXiv 2407.17465, table 8 and appendix B; LI interpolates between logarithms).

    T is the number of keys: the context, or what the pattern leaves of it (ours); `across` to another stack, the
    source, which is as long as the context. ln T counts queries with few keys before them: in a sliding window there
    are hardly any.
    """
    spread = 1 / (1 + 4 * shape.head_size / table.alphas.attention**2)
    keys = shape.context if across else shape.attended
    triangular = causal and shape.attention in ("full", "block")
    low = math.sqrt((math.log(keys) if triangular else 1.0) / keys) if keys > 1 else 1.0
    return float(low ** (spread - 1))


def activation_unit_scale(shape: ModelShape) -> float:
    """u-μP's factor after the activation at α = 1 (appendix B); for the ReLUs, 1/√E[f(z)²] with z standard normal."""
    if shape.is_gated:
        return 2**0.75
    if shape.feed_forward in ("gelu", "gelu_tanh"):
        low, high, weight = 2.0, math.sqrt(2 / (1 - 1 / math.pi)), 1 / 1.25
        return math.exp(weight * math.log(high) + (1 - weight) * math.log(low))
    return math.sqrt(2.0) if shape.feed_forward == "relu" else math.sqrt(2 / 3)


def _parts(name: str) -> list[str]:
    """The name's path without its last word, where that only says which tensor of the layer it is."""
    parts = name.split(".")
    return parts[:-1] if parts[-1] in ("weight", "bias") else parts


def _fan_in(name: str, sizes: Mapping[str, tuple[int, ...]]) -> int:
    """Inputs of a weight, or of the one that a bias stands beside (a tied head's is the embedding)."""
    if not name.endswith(".bias"):
        return sizes[name][-1]
    return sizes.get(name.removesuffix("bias") + "weight", sizes.get("embedding.weight", (0,)))[-1]


def _has_cross(parts: list[str], shape: ModelShape) -> bool:
    return shape.stack == "encoder_decoder" and parts[0] == "decoder"
