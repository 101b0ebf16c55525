"""docs/parametrizations.md, written from the table itself, so that page and code can't differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import get_args

from isoflop.models.parametrization import ONE, PARAMETRIZATIONS, Parametrization, Power, Role

HEAD = """# Parametrisations

Written by `isoflop parametrizations` from the table in `models/parametrization.py`; a test keeps this page equal
to it.

A weight W is used as A·W, starts as N(0, B²) (gains: at 1) and moves at Adam's rate C times the global η
(abc-parametrisation, Yang et al. 2022, arXiv 2203.03466). fan_in: inputs of the weight, of an embedding or gain its
width, of a bias those of the weight beside it. m_N: width / base width. m_L: layers / base layers. L: layers, each
attention and feed-forward. The base is the shape whose learning rate was tuned; u-μP needs none. λ is the share of
a weight that each step takes away.
"""
ROLES = {
    "embedding": "Embedding (tokens, positions, segments, relative positions)",
    "hidden": "Hidden (every matrix between them)",
    "output": "Output (head over the vocabulary, head over sentence pairs)",
    "gain": "Gain (of a norm)",
    "bias": "Bias",
}
UNIT_SCALE = """## u-μP: factors behind non-linearities

Folded into the last weight of the branch. T: number of keys (cross-attention: the source's), d: head size, LI(a,
low, high) = low^(1-a)·high^a, α: the multiplier inside the softmax.

| after | factor | source |
| --- | --- | --- |
| attention, causal | 1 / LI(1/(1 + 4d/α²), √(ln T / T), 1) | arXiv 2407.17465, table 8, appendix B |
| attention, both directions or cross | 1 / LI(1/(1 + 4d/α²), √(1/T), 1) | unit-scaling 0.3.5 |
| SwiGLU | 2^(3/4) | arXiv 2407.17465, table 8 at α = 1 |
| GELU | LI(4/5, 2, √(2/(1 − 1/π))) | the same |
| ReLU, ReLU² | √2, √(2/3) | 1/√E[f(z)²], z standard normal; ours |

Multipliers (`Alphas`, all 1 by default): α_res and α_res-attn-ratio in the branches (appendix G.2.2),
α_attn-softmax in the attention logits, α_loss-softmax in the output's A. α_ffn-act is not offered, since gate and
value are one weight.

The residual scheme x ← b·x + a·f(norm(x)), τ_i² = α_i²/(L + Σ_{j<i} α_j²), a = τ/√(1+τ²), b = 1/√(1+τ²), becomes x
← x + a_i/(b_0⋯b_i)·f(norm(x)) in a pre-norm stack, and that quotient is α_i/√L for every branch. In a post-norm
stack it is τ_i.
"""
NOTES = """## Where papers and their code differ, and what stands here

- **ε of CompleteP and μP.** The paper's table scales it in residual blocks only; its code (EleutherAI/nanoGPT-mup,
  branch completep) for all weights. Here: the table.
- **Weight decay.** The tables give AdamW's λ, multiplied by the rate: λ·m_N at η/m_N for hidden weights, so the
  share ηλ that a step takes is the same at every width (the code's plain μP branch leaves out m_N). u-μP's λ is
  independent of the rate and of the weight's factor on it. Here λ is that share in all four; matrices decay, gains
  and biases don't, as in CompleteP's code (the unit-scaling library decays them too).
- **Depth under μP.** Its table (Yang et al., table 8) has no depth rule; the μP column of the u-μP paper's table 2
  adds one, √(base depth / depth). Here: none.
- **u-μP's output in the backward pass.** The paper's table says 1/√fan_in, both code bases 1/√vocabulary. Adam
  forgets it, and the folded model has only true gradients.
- **u-μP's depth.** unit-scaling counts blocks (L), Aleph Alpha's code by default branches (2L). Here: blocks.
- **Gains under u-μP.** The paper has none and recommends none. unit-scaling would train them at η·L^(-1/2); at
  u-μP's η near 1 that ruined runs (docs/log.md), so they get the embedding's rule η/√width.
- **Biases under u-μP.** The paper has none; unit-scaling multiplies them by fan_in^(-1/2) with the weight beside
  them.
- **Tied embeddings.** A head that is the embedding can't have a multiplier of its own folded in: u-μP, and μP and
  CompleteP at another width than the base's, refuse to train it (the u-μP paper ties nothing either).
- **Attention patterns.** In a sliding or strided window T is what a token sees, by the rule without ln T; ours.
- **Depth exponent.** `umup(depth_exponent=p)` with p other than 1/2 is our extension, in no paper.

## What a plain model gets

Init N(0, (A·B)²), rate η·A·C, ε/A, with the branch's factor and the factor behind the non-linearity counted into A
of the branch's last weight (docs/decisions/0002). Equality with the unfolded models is tested:
tests/models/test_unit_scaling_oracle.py against the package unit-scaling, tests/models/test_unfolded.py against the
tables written out.
"""


def parametrization_page() -> str:
    """The page as Markdown text."""
    parts = [HEAD]
    for role in get_args(Role):
        parts.append(f"## {ROLES[role]}\n\n" + "\n".join(_role_table(role)) + "\n")
    parts.append("## Inside residual blocks, besides the role's own rule\n\n" + "\n".join(_block_table()) + "\n")
    parts.append("## Attention logits\n\n" + "\n".join(_head_table()) + "\n")
    return "\n".join([*parts, UNIT_SCALE, NOTES])


def _role_table(role: Role) -> Iterator[str]:
    yield from _header("", "init B", "multiplier A", "Adam's rate C", "weight decay", "source")
    for table in _tables():
        rule = table.rules[role]
        init = formula(rule.init) if rule.init.constant else f"{rule.start:g} exactly"
        decay = "λ" if rule.decays else "none"
        yield _row(table.name, init, formula(rule.multiplier), formula(rule.lr), decay, rule.source)


def _block_table() -> Iterator[str]:
    yield from _header("", "branch (both kinds)", "Adam's rate", "Adam's ε", "source")
    for table in _tables():
        block = table.block
        yield _row(table.name, formula(block.branch), formula(block.lr), formula(block.eps), block.source)


def _head_table() -> Iterator[str]:
    yield from _header("", "factor on q·k", "source")
    for table in _tables():
        yield _row(table.name, f"d{_superscript(-table.head_power)}", table.head_source)


def formula(power: Power) -> str:
    """A rule as text, such as `0.02·m_N^(-1/2)`."""
    symbols = (("fan_in", power.fan_in), ("m_N", power.width), ("m_L", power.depth), ("L", power.layers))
    factors = [symbol + _superscript(exponent) for symbol, exponent in symbols if exponent]
    if power.constant != ONE.constant or not factors:
        factors.insert(0, f"{power.constant:g}")
    return "·".join(factors)


def _superscript(exponent: float) -> str:
    if exponent == 1:
        return ""
    value = Fraction(exponent).limit_denominator(100)
    return f"^{value}" if value.denominator == 1 and value > 0 else f"^({value})"


def _tables() -> Iterable[Parametrization]:
    return PARAMETRIZATIONS.values()


def _header(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*("---" for _ in names))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
