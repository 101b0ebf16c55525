"""Gradients of a divided run: what still has to be added up over ranks, their norm over all of them, clipping."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from isoflop.parallel.groups import Groups
from isoflop.parallel.holding import Holding, local


def add_up(holdings: Sequence[Holding], group: dist.ProcessGroup, *, divide_by: int = 1) -> None:
    """Sum the gradients of `holdings` over `group` in one collective for each dtype, and divide them."""
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for holding in holdings:
        grad = gradient(holding)
        if grad is not None:
            by_type.setdefault(grad.dtype, []).append(grad)
    for grads in by_type.values():
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        dist.all_reduce(flat, group=group)
        flat /= divide_by
        for grad, summed in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(summed.view_as(grad))


def add_twins(holdings: Sequence[Holding], group: dist.ProcessGroup) -> None:
    """Let each weight that two pipeline ranks hold have the sum of both gradients, the same bit for bit on both."""
    for holding in holdings:
        if holding.twin is None:
            continue
        mine = gradient(holding)
        assert mine is not None
        if mine.numel():
            theirs = torch.empty_like(mine, memory_format=torch.contiguous_format)
            sent = dist.P2POp(dist.isend, mine.contiguous(), group=group, group_peer=holding.twin)
            received = dist.P2POp(dist.irecv, theirs, group=group, group_peer=holding.twin)
            for work in dist.batch_isend_irecv([sent, received]):
                work.wait()
            mine += theirs


def gradient_norm(holdings: Sequence[Holding], groups: Groups) -> float:
    """The 2-norm of the whole model's gradient, every number of it counted once; all ranks get the same.

    Plain and sharded parameters may be mixed, which `torch.nn.utils.clip_grad_norm_` refuses: each rank adds up the
    squares that lie on it (of a weight that several tensor or pipeline ranks hold, only the first does), then ranks add
    up.
    """
    counted = [holding for holding in holdings if _counts(holding, groups)]
    grads = [grad for holding in counted if (grad := gradient(holding)) is not None and grad.numel()]
    squares = torch.zeros((), dtype=torch.float64, device=holdings[0].parameter.device)
    if grads:
        squares = torch.stack(torch._foreach_norm(grads)).double().square().sum()
    for group in (groups.tensor, groups.pipeline, *([groups.fully] if groups.is_sharded else [])):
        if group.size() > 1:
            dist.all_reduce(squares, group=group)
    return float(squares.sqrt())


def _counts(holding: Holding, groups: Groups) -> bool:
    first_of_twins = holding.twin is None or groups.pipeline.rank() < holding.twin
    return first_of_twins and (holding.division is not None or groups.tensor.rank() == 0)


def clip_gradients(holdings: Sequence[Holding], groups: Groups, *, most: float) -> float:
    """Scale all gradients so that their norm is at most `most`; returns the norm before (`clip_grad_norm_`'s rule)."""
    norm = gradient_norm(holdings, groups)
    factor = most / (norm + 1e-6)
    if factor < 1:
        grads = [grad for holding in holdings if (grad := gradient(holding)) is not None]
        torch._foreach_mul_(grads, factor)
    return norm


def gradient(holding: Holding) -> Tensor | None:
    """The part of a gradient that lies on this rank."""
    grad = holding.parameter.grad
    return None if grad is None else local(grad)
