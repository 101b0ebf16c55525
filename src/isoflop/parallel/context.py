"""Context parallelism: each rank holds a part of every sequence, and attention still sees the whole of it.

B batch, H heads, K key-value heads, T tokens of the rank, S tokens of the sequence, C channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from isoflop.errors import UserError
from isoflop.models.masks import View
from isoflop.models.positions import document_places
from isoflop.parallel import collectives
from isoflop.parallel.groups import Groups
from isoflop.parallel.mesh import ContextMethod
from isoflop.shapes import ModelShape

Attend = Callable[..., Tensor]
ROTATIONS = ("cos_TC", "sin_TC")
"""Tables with a row for each place in the sequence."""


def apply_context(model: Any, *, groups: Groups, method: ContextMethod) -> None:
    """Let every self-attention of `model` see the whole sequence, and the rank's tokens stand at their places in it.

    A batch has the documents of the whole sequence, of all else the rank's tokens.
    """
    rank, size = groups.context.rank(), groups.mesh.context
    model.embed = _placed(model.embed, rank)
    model.view = _view(model, rank, size, method)
    for name, module in model.named_modules():
        if name.rpartition(".")[2] == "attention":
            module.forward = _within(_Rerouted(groups.context, method), module.forward)
        for kind, table in list(module.named_buffers(recurse=False)):
            if kind in ROTATIONS:
                length = len(table) // size
                module.register_buffer(kind, table[rank * length :][:length], persistent=False)


def _placed(embed: Callable[..., Tensor], rank: int) -> Callable[..., Tensor]:
    def inside(tokens_BT: Tensor, documents: Tensor | None, segments: Tensor | None = None, *_: None) -> Tensor:
        own = slice(rank * tokens_BT.shape[1], (rank + 1) * tokens_BT.shape[1])
        places = torch.arange(own.start, own.stop, device=tokens_BT.device)[None]
        if documents is not None:
            places = document_places(documents)[:, own]
        return embed(tokens_BT, documents, segments, places)

    return inside


def _view(model: Any, rank: int, size: int, method: ContextMethod) -> Callable[..., View]:
    """Who sees whom: of the whole sequence for `ulysses`, of the rank's tokens on it for `gather`."""
    shape: ModelShape = model.shape
    is_plain = shape.attention == "full" and shape.positions not in ("relative", "alibi")

    def view(x_BTD: Tensor, documents: Tensor | None, prefix: Tensor | None) -> View:
        if is_plain and documents is None and prefix is None:
            return View(model.causal)
        own = slice(rank * x_BTD.shape[1], (rank + 1) * x_BTD.shape[1])
        place_1S = torch.arange(size * x_BTD.shape[1], device=x_BTD.device)[None]
        query_1T = place_1S if method == "ulysses" else place_1S[:, own]
        found: View = model.view_between(query_1T, place_1S, documents, prefix)
        if found.blind is None or method == "gather":
            return found
        return found._replace(blind=found.blind[:, :, own])  # by then each rank has its tokens again

    return view


def _within(mode: TorchFunctionMode, forward: Callable[..., Any]) -> Callable[..., Any]:
    def inside(*inputs: Any, **named: Any) -> Any:
        with mode:
            return forward(*inputs, **named)

    return inside


class _Rerouted(TorchFunctionMode):
    """Within it, torch's attention is that of the whole sequence."""

    def __init__(self, group: dist.ProcessGroup, method: ContextMethod) -> None:
        super().__init__()
        self.group, self.attend = group, ulysses if method == "ulysses" else with_gathered_keys

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **named)
        if named.get("dropout_p"):
            raise UserError("machine.context above 1 takes no dropout.")
        return self.attend(*args, group=self.group, **named)


def ulysses(
    q_BHTC: Tensor,
    k_BKTC: Tensor,
    v_BKTC: Tensor,
    *,
    group: dist.ProcessGroup,
    attn_mask: Tensor | None = None,
    **how: Any,
) -> Tensor:
    """Attention by all-to-all: for its length each rank has all tokens of some heads (Jacobs et al. 2023,
    arXiv 2309.14509, section 3). `attn_mask` (B or 1, H or 1, S, S): of all heads of `q_BHTC`."""
    if attn_mask is not None and attn_mask.shape[1] > 1:
        attn_mask = attn_mask.chunk(group.size(), dim=1)[group.rank()]
    how["attn_mask"] = attn_mask
    q, k, v = (collectives.exchanged(x, group, split=1, join=2) for x in (q_BHTC, k_BKTC, v_BKTC))
    return collectives.exchanged(F.scaled_dot_product_attention(q, k, v, **how), group, split=2, join=1)


def with_gathered_keys(
    q_BHTC: Tensor,
    k_BKTC: Tensor,
    v_BKTC: Tensor,
    *,
    group: dist.ProcessGroup,
    is_causal: bool = False,
    attn_mask: Tensor | None = None,
    **how: Any,
) -> Tensor:
    """Attention of the rank's queries on the keys and values of all ranks: any number of heads, more memory.

    `attn_mask` (B or 1, H or 1, T, S).
    """
    k_BKSC, v_BKSC = (collectives.gathered(x, group, dim=2) for x in (k_BKTC, v_BKTC))
    if is_causal:
        queries, keys = q_BHTC.shape[2], k_BKSC.shape[2]
        place_T = torch.arange(queries, device=q_BHTC.device) + group.rank() * queries
        attn_mask = torch.arange(keys, device=q_BHTC.device) <= place_T[:, None]
    return F.scaled_dot_product_attention(q_BHTC, k_BKSC, v_BKSC, attn_mask=attn_mask, **how)
