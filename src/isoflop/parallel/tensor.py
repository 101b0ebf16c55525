"""Tensor, sequence and loss parallelism: a table of how each weight is divided, and hooks around what it is part of.

A divided region begins where the stream enters an attention or a feed-forward and ends behind its last matrix (Shoeybi
et al. 2019, arXiv 1909.08053, section 3). With sequence parallelism the stream outside is divided over tokens, so the
region begins with a gather and ends with a reduce-scatter (Korthikanti et al. 2022, arXiv 2205.05198, section 4.2.2).
B batch, T tokens, D width.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
    "feed_forward.up": "features",
    "feed_forward.down": "inputs",
    "head": "vocabulary",
}
"""Module name (its end) → how its weight is divided; what is not named here is whole on every tensor rank.

heads: rows, each of query, key and value by heads; features: rows, each of gate and value; inputs: columns;
vocabulary: rows of tokens.
"""


def split_of(module_name: str) -> Split | None:
    """How the weight of a module is divided, from its name."""
    for name, split in TENSOR_PLAN.items():
        if re.search(rf"(^|\.){re.escape(name)}$", module_name):
            return split
    return None


def division_of(parameter_name: str, shape: ModelShape) -> Division | None:
    """How tensor ranks divide the parameter called so; None where each holds it whole."""
    module_name, _, kind = parameter_name.rpartition(".")
    split = split_of(module_name)
    if split is None or (split == "inputs" and kind == "bias"):
        return None
    if split == "inputs":
        return Division(1, (shape.attention_width if module_name.endswith("out") else shape.ffn,))
    pieces = {
        "heads": (shape.attention_width, shape.kv_width, shape.kv_width),
        "features": (shape.ffn,) * (shape.matrices_per_feed_forward - 1),
        "vocabulary": (shape.vocab,),
    }
    return Division(0, pieces[split])


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
    if isinstance(module, nn.Identity):
        _surround_border(module_name, module, groups, method)
        return
    if last == "attention":
        module.heads //= groups.mesh.tensor
        module.kv_heads //= groups.mesh.tensor
    if last in ("attention", "feed_forward") or module_name == "head":
        module.register_forward_pre_hook(_entering(groups, method))
    if split == "inputs":
        module.forward = _row_parallel(module, _leaving(groups, method))
    if module_name == "embedding":
        module.forward = _vocabulary_parallel(module, _leaving(groups, method), groups)
    if module_name == "head" and not method.loss_parallel:
        module.register_forward_hook(lambda _m, _i, y: collectives.assembled(y, groups.tensor, dim=-1))


def _surround_border(module_name: str, module: Any, groups: Groups, method: Method) -> None:
    """Whole hidden states pass between pipeline stages; inside, sequence parallelism divides them."""
    if method.sequence and module_name == "embedding":
        module.forward = lambda x_BTD: collectives.portion(x_BTD, groups.tensor, dim=1)
    if method.sequence and module_name == "norm":
        module.forward = lambda x_BTD: collectives.assembled(x_BTD, groups.tensor, dim=1)


def _entering(groups: Groups, method: Method) -> Callable[..., Any]:
    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x_BTD, *rest = inputs
        if method.sequence:
            return collectives.gathered(x_BTD, groups.tensor, dim=1), *rest
        return collectives.spread(x_BTD, groups.tensor), *rest

    return hook


def _leaving(groups: Groups, method: Method) -> Callable[[Tensor], Tensor]:
    if method.sequence:
        return lambda x_BTD: collectives.scattered(x_BTD, groups.tensor, dim=1)
    return lambda x_BTD: collectives.total(x_BTD, groups.tensor)


def _row_parallel(module: nn.Linear, leave: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        y = leave(F.linear(x, module.weight))
        return y if module.bias is None else y + module.bias  # once, not once per rank

    return forward


def _vocabulary_parallel(
    module: nn.Embedding, leave: Callable[[Tensor], Tensor], groups: Groups
) -> Callable[[Tensor], Tensor]:
    run = Division(0, (module.num_embeddings,)).runs(groups.tensor.rank(), groups.mesh.tensor)[0]

    def forward(tokens_BT: Tensor) -> Tensor:
        row_BT = tokens_BT - run.there
        elsewhere_BT = (row_BT < 0) | (row_BT >= run.length)
        x_BTD = F.embedding(row_BT.masked_fill(elsewhere_BT, 0), module.weight)
        return leave(x_BTD.masked_fill(elsewhere_BT[..., None], 0.0))

    return forward


def is_partial(parameter_name: str, shape: ModelShape, method: Method) -> bool:
    """Whether the gradient of a weight that every tensor rank holds whole has to be added up over them.

    It has where each rank saw only a part of the tokens (sequence parallelism) or of the heads (norms of queries and
    keys); else all ranks compute the same gradient.
    """
    if division_of(parameter_name, shape) is not None:
        return False
    return method.sequence or ".q_norm." in parameter_name or ".k_norm." in parameter_name
