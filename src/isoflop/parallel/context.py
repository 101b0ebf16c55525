"""Context parallelism: each rank holds a part of every sequence, and attention still sees the whole of it.

B batch, H heads, K key-value heads, T tokens of the rank, S tokens of the sequence, C channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from isoflop.errors import UserError
from isoflop.parallel import collectives
from isoflop.parallel.groups import Groups
from isoflop.parallel.mesh import ContextMethod

Attend = Callable[..., Tensor]
PLACES = ("cos_TC", "sin_TC", "sinusoid_TD")
"""Tables with a row for each place in the sequence."""


def apply_context(model: nn.Module, *, groups: Groups, method: ContextMethod) -> None:
    """Let every self-attention of `model` see the whole sequence, and every position table begin at the rank's part."""
    for name, module in model.named_modules():
        if name.rpartition(".")[2] == "attention":
            module.forward = _within(_Rerouted(groups.context, method), module.forward)
        for kind, table in list(module.named_buffers(recurse=False)):
            if kind in PLACES:
                length = len(table) // groups.mesh.context
                module.register_buffer(kind, table[groups.context.rank() * length :][:length], persistent=False)


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
        if named.get("attn_mask") is not None or named.get("dropout_p"):
            raise UserError("machine.context above 1 takes whole sequences only: no documents, patterns or dropout.")
        return self.attend(*args, group=self.group, **named)


def ulysses(q_BHTC: Tensor, k_BKTC: Tensor, v_BKTC: Tensor, *, group: dist.ProcessGroup, **how: Any) -> Tensor:
    """Attention by all-to-all: for its length each rank has all tokens of some heads (Jacobs et al. 2023,
    arXiv 2309.14509, section 3)."""
    q, k, v = (collectives.exchanged(x, group, split=1, join=2) for x in (q_BHTC, k_BKTC, v_BKTC))
    return collectives.exchanged(F.scaled_dot_product_attention(q, k, v, **how), group, split=2, join=1)


def with_gathered_keys(
    q_BHTC: Tensor, k_BKTC: Tensor, v_BKTC: Tensor, *, group: dist.ProcessGroup, is_causal: bool = False, **how: Any
) -> Tensor:
    """Attention of the rank's queries on the keys and values of all ranks: any number of heads, more memory."""
    k_BKSC, v_BKSC = (collectives.gathered(x, group, dim=2) for x in (k_BKTC, v_BKTC))
    seen_TS = None
    if is_causal:
        queries, keys = q_BHTC.shape[2], k_BKSC.shape[2]
        place_T = torch.arange(queries, device=q_BHTC.device) + group.rank() * queries
        seen_TS = torch.arange(keys, device=q_BHTC.device) <= place_T[:, None]
    how["attn_mask"] = seen_TS
    return F.scaled_dot_product_attention(q_BHTC, k_BKSC, v_BKSC, **how)
