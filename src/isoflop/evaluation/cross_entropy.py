"""Cross-entropy of a linear head, a few rows at a time: the logits of a large vocabulary never exist at once.

N predicted places, D width, V vocabulary, C rows of one chunk. The gradient of a softmax is at hand once its logits
are, so one pass gives the loss and both gradients (as in Liger's kernel, Hsu et al. 2024, arXiv 2410.10989):

    loss = 1/N Σ_n (log Σ_v e^{z_nv} − z_{n,t_n}),   ∂loss/∂z = (softmax(z) − onehot(t)) / N,   z = x Wᵀ + b
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from isoflop.models import IGNORED

KEPT = 1 << 24
"""Entries of ∂loss/∂z held at once (32 MiB in bf16): enough rows for fast matrix products with them."""
IN_CACHE = 1 << 18
"""Entries of z at once on a processor: 1 MiB in fp32, so that the softmax's passes stay in its cache."""


class Head(NamedTuple):
    """A linear layer's weight (V, D) and bias (V,) or None, and the dtype that its matrix products are computed in."""

    weight: Tensor
    bias: Tensor | None
    dtype: torch.dtype


def mean_cross_entropy(features_ND: Tensor, head: Head, targets_N: Tensor) -> Tensor:
    """Mean of -log softmax(head(x))[target] in nats over the targets that aren't `IGNORED`; NaN where all are.

    A scalar, differentiable once in features, weight and bias.
    """
    if features_ND.device.type == "cpu":  # elsewhere, to count the places would make the device wait
        counted_N = targets_N != IGNORED
        if not counted_N.all():
            features_ND, targets_N = features_ND[counted_N], targets_N[counted_N]
    loss: Tensor = _MeanCrossEntropy.apply(features_ND, head.weight, head.bias, targets_N, head.dtype)
    return loss


@torch.no_grad()
def cross_entropy_rows(features_ND: Tensor, head: Head, targets_N: Tensor) -> Tensor:
    """-log softmax(head(x))[target] of each row (N,) in nats, without gradients."""
    x_ND, head = features_ND.detach().to(head.dtype), _cast(head)
    rows = _rows_at_once(x_ND, head.weight.shape[0])
    losses = [_losses(_logits(x_ND[part], head), targets_N[part])[0] for part in _parts(len(x_ND), rows)]
    return torch.cat(losses) if losses else x_ND.new_zeros(0)


class _Gradients:
    """∂loss/∂ features, weight and bias, summed over chunks; None where nobody asks."""

    def __init__(self, x_ND: Tensor, head: Head, wanted: tuple[bool, ...]) -> None:
        wide = _wide(head.dtype)
        self.x_ND = torch.empty_like(x_ND) if wanted[0] else None
        self.w_VD = torch.zeros_like(head.weight, dtype=wide) if wanted[1] else None
        self.b_V = torch.zeros_like(head.bias, dtype=wide) if head.bias is not None and wanted[2] else None

    def add(self, part: slice, slope_CV: Tensor, x_CD: Tensor, head: Head) -> None:
        if self.x_ND is not None:
            torch.mm(slope_CV, head.weight, out=self.x_ND[part])
        if self.w_VD is not None:
            self.w_VD += slope_CV.t() @ x_CD
        if self.b_V is not None:
            self.b_V += slope_CV.sum(dim=0, dtype=self.b_V.dtype)


class _MeanCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor, dtype: torch.dtype
    ) -> Tensor:
        with torch.autocast(features_ND.device.type, enabled=False):
            x_ND, head = features_ND.to(dtype), _cast(Head(weight_VD, bias_V, dtype))
            sums = _Gradients(x_ND, head, ctx.needs_input_grad[:3])
            loss = _one_pass(x_ND, head, targets_N, sums)
        ctx.save_for_backward(sums.x_ND, sums.w_VD, sums.b_V)
        ctx.dtypes = (features_ND.dtype, weight_VD.dtype, weight_VD.dtype)
        ctx.count = (targets_N != IGNORED).sum()
        return loss / ctx.count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        share = slope / ctx.count
        found = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return *(None if sums is None else sums.to(dtype).mul(share) for sums, dtype in found), None, None


def _one_pass(x_ND: Tensor, head: Head, targets_N: Tensor, sums: _Gradients) -> Tensor:
    """The summed loss; what it adds up in `sums` is the gradient of that sum."""
    vocab = head.weight.shape[0]
    loss = x_ND.new_zeros((), dtype=_wide(head.dtype))
    for part in _parts(len(x_ND), max(1, KEPT // vocab)):
        slope = x_ND.new_empty(len(x_ND[part]), vocab)
        for inner in _parts(len(slope), _rows_at_once(x_ND, vocab)):
            x_CD, targets_C = x_ND[part][inner], targets_N[part][inner]
            losses_C, softmax_CV = _losses(_logits(x_CD, head), targets_C)
            loss += losses_C.sum()
            slope[inner] = _slope(softmax_CV, targets_C)
        sums.add(part, slope, x_ND[part], head)
    return loss


def _losses(z_CV: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each row, and the softmax. log Σ e^z is read off the largest share, which can't underflow."""
    softmax_CV = torch.softmax(z_CV, dim=-1)
    log_sum_C = z_CV.amax(dim=-1) - softmax_CV.amax(dim=-1).log()
    losses_C = log_sum_C - z_CV.gather(-1, targets_C.clamp_min(0)[:, None])[:, 0]
    return losses_C.masked_fill(targets_C == IGNORED, 0.0), softmax_CV


def _slope(softmax_CV: Tensor, targets_C: Tensor) -> Tensor:
    """∂(sum of losses)/∂z, made of the softmax in its place."""
    softmax_CV.scatter_add_(-1, targets_C.clamp_min(0)[:, None], softmax_CV.new_full((len(targets_C), 1), -1.0))
    return softmax_CV if softmax_CV.device.type == "cpu" else softmax_CV.mul_((targets_C != IGNORED)[:, None])


def _logits(x_CD: Tensor, head: Head) -> Tensor:
    z_CV = torch.nn.functional.linear(x_CD, head.weight, head.bias)
    return z_CV.to(_wide(head.dtype))


def _wide(dtype: torch.dtype) -> torch.dtype:
    """What sums over rows are kept in: at least fp32."""
    return torch.promote_types(dtype, torch.float32)


def _cast(head: Head) -> Head:
    bias = None if head.bias is None else head.bias.detach().to(head.dtype)
    return Head(head.weight.detach().to(head.dtype), bias, head.dtype)


def _rows_at_once(x_ND: Tensor, vocab: int) -> int:
    return max(16, (IN_CACHE if x_ND.device.type == "cpu" else KEPT) // vocab)


def _parts(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
