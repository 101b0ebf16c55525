"""Collectives that autograd sees. `total` and `spread` are each other's gradient, as are `gathered` and `scattered`.

The convention is Megatron's (Shoeybi et al. 2019, arXiv 1909.08053, section 3): outside a divided region every rank of
the group computes the same loss, so a gradient that reaches the region's end is whole on each rank. Every tensor is
made contiguous first: gloo takes the memory of a strided one as it lies, and is silently wrong (pytorch #192920).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

Group = dist.ProcessGroup
ALL_GATHER: Any = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
REDUCE_SCATTER: Any = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
"""Their names from torch 2.13 on, and before."""


def total(x: Tensor, group: Group) -> Tensor:
    """The sum of `x` over the group; backward: the gradient as it is."""
    result: Tensor = _Total.apply(x, group)
    return result


def spread(x: Tensor, group: Group) -> Tensor:
    """`x` itself; backward: the sum of its gradients over the group."""
    result: Tensor = _Spread.apply(x, group)
    return result


def gathered(x: Tensor, group: Group, *, dim: int) -> Tensor:
    """The parts of all ranks side by side along `dim`; backward: each rank the sum of its part's gradients."""
    result: Tensor = _Gathered.apply(x, group, dim)
    return result


def scattered(x: Tensor, group: Group, *, dim: int) -> Tensor:
    """The rank's part along `dim` of the sum over the group; backward: the gradients of all parts side by side."""
    result: Tensor = _Scattered.apply(x, group, dim)
    return result


def assembled(x: Tensor, group: Group, *, dim: int) -> Tensor:
    """As `gathered`, where what follows is the same on all ranks; backward: the rank's part of the gradient."""
    result: Tensor = _Assembled.apply(x, group, dim)
    return result


def portion(x: Tensor, group: Group, *, dim: int) -> Tensor:
    """The rank's part along `dim` of what is the same on all ranks; backward: the gradients of all parts."""
    result: Tensor = _Portion.apply(x, group, dim)
    return result


def exchanged(x: Tensor, group: Group, *, split: int, join: int) -> Tensor:
    """Part r along `split` goes to rank r, and what arrives is put side by side along `join`; backward: back."""
    result: Tensor = _Exchanged.apply(x, group, split, join)
    return result


def sum_over(x: Tensor, group: Group, *, kind: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> Tensor:
    """The sum (or maximum) over the group, without autograd."""
    result = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(result, kind, group=group)
    return result


def _own(x: Tensor, group: Group, dim: int) -> Tensor:
    return x.chunk(group.size(), dim=dim)[group.rank()].contiguous()


def _gather(x: Tensor, group: Group, dim: int) -> Tensor:
    part = x.detach().movedim(dim, 0).contiguous()
    whole = part.new_empty(group.size() * part.shape[0], *part.shape[1:])
    ALL_GATHER(whole, part, group=group)
    return whole.movedim(0, dim).contiguous()


def _scatter(x: Tensor, group: Group, dim: int) -> Tensor:
    whole = x.detach().movedim(dim, 0).contiguous()
    part = whole.new_empty(whole.shape[0] // group.size(), *whole.shape[1:])
    REDUCE_SCATTER(part, whole, group=group)
    return part.movedim(0, dim).contiguous()


def _exchange(x: Tensor, group: Group, split: int, join: int) -> Tensor:
    parts = torch.stack(x.detach().chunk(group.size(), dim=split)).contiguous()
    moved = torch.empty_like(parts)
    dist.all_to_all_single(moved, parts, group=group)
    return torch.cat(moved.unbind(0), dim=join)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: Tensor, group: Group) -> Tensor:
        return sum_over(x, group)

    @staticmethod
    def backward(_ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return sum_over(grads[0], ctx.group), None


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group, dim: int) -> Tensor:
        ctx.group, ctx.dim = group, dim
        return _gather(x, group, dim)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _scatter(grads[0], ctx.group, ctx.dim), None, None


class _Scattered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group, dim: int) -> Tensor:
        ctx.group, ctx.dim = group, dim
        return _scatter(x, group, dim)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _gather(grads[0], ctx.group, ctx.dim), None, None


class _Assembled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group, dim: int) -> Tensor:
        ctx.group, ctx.dim = group, dim
        return _gather(x, group, dim)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _own(grads[0], ctx.group, ctx.dim), None, None


class _Portion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group, dim: int) -> Tensor:
        ctx.group, ctx.dim = group, dim
        return _own(x, group, dim)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _gather(grads[0], ctx.group, ctx.dim), None, None


class _Exchanged(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group, split: int, join: int) -> Tensor:
        ctx.group, ctx.split, ctx.join = group, split, join
        return _exchange(x, group, split, join)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return _exchange(grads[0], ctx.group, ctx.join, ctx.split), None, None, None
