"""Activation recomputation: what a block's backward pass makes again instead of having kept it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from isoflop.parallel.mesh import Recomputation

ATTENTION = (
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
)
PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)


def apply_recomputation(block: nn.Module, kind: Recomputation) -> None:
    """Let `block` keep its input only (full), or its attention and every second matrix product too (selective)."""
    if kind == "none":
        return
    how = {"context_fn": lambda: create_selective_checkpoint_contexts(_every_second_product())}
    block.forward = _recomputed(block.forward, how if kind == "selective" else {})


def _recomputed(forward: Callable[..., Any], how: dict[str, Any]) -> Callable[..., Any]:
    def forward_again(*inputs: Any, **named: Any) -> Any:
        return checkpoint(forward, *inputs, use_reentrant=False, **how, **named)

    return forward_again


def _every_second_product() -> Callable[..., CheckpointPolicy]:
    seen: Counter[bool] = Counter()

    def policy(context: Any, op: Any, *_inputs: Any, **_named: Any) -> CheckpointPolicy:
        if op in PRODUCTS:
            seen[context.is_recompute] += 1
            keep = seen[context.is_recompute] % 2 == 1
        else:
            keep = op in ATTENTION
        return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE

    return policy
