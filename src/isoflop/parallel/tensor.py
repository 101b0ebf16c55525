"""Tensor, sequence and loss parallelism: a table of how each weight is divided, and hooks around what it is part of.

A divided region begins where the stream enters an attention or a feed-forward and ends behind its last matrix (Shoeybi
et al. 2019, arXiv 1909.08053, section 3). With sequence parallelism the stream outside is divided over tokens, so the
region begins with a gather and ends with a reduce-scatter (Korthikanti et al. 2022, arXiv 2205.05198, section 4.2.2).
B batch, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.models.masks import View
from isoflop.parallel import collectives
from isoflop.parallel.groups import Groups
from isoflop.parallel.holding import Division
from isoflop.parallel.mesh import Method
from isoflop.shapes import ModelShape

Split = Literal["heads", "features", "inputs", "vocabulary"]

TENSOR_PLAN: dict[str, Split] = {
    "embedding": "vocabulary",
    "attention.qkv": "heads",
    "attention.out": "inputs",
    "cross.q": "heads",
    "cross.kv": "heads",
    "cross.out": "inputs",
    "feed_forward.up": "features",
    "feed_forward.down": "inputs",
    "head": "vocabulary",
}
"""Module name (its end) → how its weight is divided; what is not named here is whole on every tensor rank.

heads: rows, each of query, key and value by heads; features: rows, each of gate and value; inputs: columns;
vocabulary: rows of tokens.
"""
REGIONS = ("attention", "cross", "feed_forward")
"""Modules whose insides are divided."""
SEEN_IN_PART = (".q_norm.", ".k_norm.", "relative.")
"""Whole weights of which each tensor rank sees only its heads' use."""


def split_of(module_name: str) -> Split | None:
    """How the weight of a module is divided, from its name."""
    for name, split in TENSOR_PLAN.items():
        if module_name == name or module_name.endswith(f".{name}"):
            return split
    return None


def division_of(parameter_name: str, shape: ModelShape) -> Division | None:
    """How tensor ranks divide the parameter called so; None where each holds it whole."""
    module_name, _, kind = parameter_name.rpartition(".")
    split, last = split_of(module_name), module_name.rpartition(".")[2]
    if split is None or (split == "inputs" and kind == "bias"):
        return None
    query, key = (shape.attention_width,), (shape.kv_width,)
    pieces = {
        "qkv": query + key + key,
        "q": query,
        "kv": key + key,
        "out": query,
        "up": (shape.ffn,) * (1 + shape.is_gated),
        "down": (shape.ffn,),
    }
    return Division(1 if split == "inputs" else 0, pieces.get(last, (shape.vocab,)))


def is_partial(parameter_name: str, shape: ModelShape, method: Method) -> bool:
    """Whether the gradient of a weight that every tensor rank holds whole has to be added up over them.

    It has where each rank saw only a part of the tokens (within blocks, under sequence parallelism) or of the heads
    (norms of queries and keys, biases of distance); else all ranks compute the same gradient.
    """
    if division_of(parameter_name, shape) is not None:
        return False
    within = method.sequence and "blocks." in parameter_name
    return within or any(part in parameter_name for part in SEEN_IN_PART)


def apply_tensor_plan(model: nn.Module, shape: ModelShape, *, groups: Groups, method: Method) -> None:
    """Cut every weight of `model` to this rank's part (without values) and put the collectives around the regions."""
    parts: dict[int, nn.Parameter] = {}
    for module_name, module in model.named_modules():
        for kind, whole in list(module.named_parameters(recurse=False)):
            division = division_of(f"{module_name}.{kind}", shape)
            if division is not None:
                part = parts.setdefault(id(whole), _part(whole, division, groups))  # a tied weight is cut once
                setattr(module, kind, part)
        _surround(module_name, module, groups, method)


def _part(whole: nn.Parameter, division: Division, groups: Groups) -> nn.Parameter:
    size = list(whole.shape)
    size[division.dim] = sum(run.length for run in division.runs(groups.tensor.rank(), groups.mesh.tensor))
    return nn.Parameter(torch.empty(size, dtype=whole.dtype, device="meta"))


def _surround(module_name: str, module: Any, groups: Groups, method: Method) -> None:
    """Give a module the part of its work that falls to this rank, by its name's last word."""
    last, split = module_name.rpartition(".")[2], split_of(module_name)
    if last in REGIONS:
        module.register_forward_pre_hook(_entering(groups, method))
        for count in ("heads", "kv_heads"):
            if hasattr(module, count):
                setattr(module, count, getattr(module, count) // groups.mesh.tensor)
    if last == "blocks" and method.sequence:
        _divide_tokens(list(module), groups)
    if split == "inputs":
        module.forward = _row_parallel(module, groups, method)
    if last == "embedding":
        module.forward = _vocabulary_parallel(module, groups)
    if last == "head":
        module.register_forward_pre_hook(lambda _m, inputs: (collectives.spread(inputs[0], groups.tensor),))
        if not method.loss_parallel:
            module.register_forward_hook(lambda _m, _i, y: collectives.assembled(y, groups.tensor, dim=-1))


def _divide_tokens(blocks: list[nn.Module], groups: Groups) -> None:
    """Sequence parallelism: from the first block's entry to the last one's end, a rank has its part of the tokens."""

    def enter(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return collectives.portion(inputs[0], groups.tensor, dim=1), *inputs[1:]

    blocks[0].register_forward_pre_hook(enter)
    blocks[-1].register_forward_hook(lambda _m, _i, x_BTD: collectives.assembled(x_BTD, groups.tensor, dim=1))


def _entering(groups: Groups, method: Method) -> Callable[..., Any]:
    """Make the stream whole for a region, and give its other inputs in the form that the rank's heads need."""

    def own(given: Any) -> Any:
        if isinstance(given, View):
            return _own_heads(given, groups)
        whole_stream = isinstance(given, Tensor)  # what an encoder read; a rotation is a pair, and has no gradient
        return collectives.spread(given, groups.tensor) if whole_stream else given

    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x_BTD, *rest = inputs
        gather = collectives.gathered(x_BTD, groups.tensor, dim=1) if method.sequence else own(x_BTD)
        return gather, *map(own, rest)

    return hook


def _own_heads(view: View, groups: Groups) -> View:
    if view.scores is None or view.scores.shape[1] == 1:
        return view
    return view._replace(scores=view.scores.chunk(groups.mesh.tensor, dim=1)[groups.tensor.rank()])


def _row_parallel(module: nn.Linear, groups: Groups, method: Method) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        part = F.linear(x, module.weight)
        if method.sequence:
            y = collectives.scattered(part, groups.tensor, dim=1)
        else:
            y = collectives.total(part, groups.tensor)
        return y if module.bias is None else y + module.bias  # once, not once per rank

    return forward


def _vocabulary_parallel(module: nn.Embedding, groups: Groups) -> Callable[[Tensor], Tensor]:
    run = Division(0, (module.num_embeddings,)).runs(groups.tensor.rank(), groups.mesh.tensor)[0]

    def forward(tokens_BT: Tensor) -> Tensor:
        row_BT = tokens_BT - run.there
        elsewhere_BT = (row_BT < 0) | (row_BT >= run.length)
        x_BTD = F.embedding(row_BT.masked_fill(elsewhere_BT, 0), module.weight)
        return collectives.total(x_BTD.masked_fill(elsewhere_BT[..., None], 0.0), groups.tensor)

    return forward
