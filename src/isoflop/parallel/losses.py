"""Cross-entropy of a head as a sum over targets, some rows at a time, also where its vocabulary is divided over ranks.

N places, D width, V tokens of the vocabulary (the rank's part of it), C rows of one chunk. As in one process
(isoflop/evaluation/cross_entropy.py) one pass gives the loss and its gradients, so that the logits of a vocabulary
never exist all at once: ∂loss/∂z = softmax(z) − onehot(t), where z = x Wᵀ + b. Of a divided vocabulary log Σ exp is put
together from each rank's maximum and sum, the target's logit from the one rank that holds it (Shoeybi et al. 2019,
arXiv 1909.08053, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.models import IGNORED
from isoflop.parallel import collectives

ENTRIES = 1 << 24
"""Logits held at once."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of which a rank has the logits, from `first` on; no rank has more than `most`.

    `group` are those that have the others, None where there are none.
    """

    first: int
    most: int
    group: dist.ProcessGroup | None = None


def summed_loss(features_BTD: Tensor, head: nn.Linear, targets_BT: Tensor, own: Vocabulary) -> Tensor:
    """-log softmax(head(x))[target] in nats, summed over the targets that are not `IGNORED`: a scalar.

    Differentiable once, in features, weight and bias. Every rank of the group gets the sum, and of the features'
    gradient its own tokens' share.
    """
    if not torch.is_grad_enabled():
        return sequence_losses(features_BTD, head, targets_BT, own).sum()
    loss: Tensor = _SummedLoss.apply(features_BTD.flatten(0, 1), head.weight, head.bias, targets_BT.flatten(), own)
    return loss


@torch.no_grad()
def sequence_losses(features_BTD: Tensor, head: nn.Linear, targets_BT: Tensor, own: Vocabulary) -> Tensor:
    """The same summed over each sequence (B), without gradients."""
    x_ND, targets_N = features_BTD.flatten(0, 1), targets_BT.flatten()
    losses = [
        _shares(F.linear(x_ND[part], head.weight, head.bias).float(), targets_N[part], own).losses_C
        for part in _chunks(len(x_ND), own)
    ]
    return torch.cat(losses).view_as(targets_BT).sum(dim=1)


def losses_of_logits(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """The same (B) of logits that are all there."""
    nats_N = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORED, reduction="none")
    return nats_N.view_as(targets_BT).sum(dim=1)


@dataclass(frozen=True)
class _Shares:
    """Each row's loss, the rank's part of its softmax, and where in that part its target is, if `here`."""

    losses_C: Tensor
    softmax_CV: Tensor
    place_C: Tensor
    here_C: Tensor


def _shares(z_CV: Tensor, targets_C: Tensor, own: Vocabulary) -> _Shares:
    """The softmax takes the place of the logits `z_CV`."""
    place_C = targets_C - own.first
    here_C = (place_C >= 0) & (place_C < z_CV.shape[-1])
    place_C = place_C.where(here_C, 0)
    highest_C = z_CV.amax(dim=-1)
    if own.group is not None:
        highest_C = collectives.sum_over(highest_C, own.group, kind=dist.ReduceOp.MAX)
    z_CV -= highest_C[:, None]
    chosen_C = z_CV.gather(-1, place_C[:, None])[:, 0].where(here_C, 0.0)
    sums_2C = torch.stack((z_CV.exp_().sum(dim=-1), chosen_C))
    if own.group is not None:
        sums_2C = collectives.sum_over(sums_2C, own.group)
    z_CV /= sums_2C[0][:, None]
    losses_C = (sums_2C[0].log() - sums_2C[1]).where(targets_C != IGNORED, 0.0)
    return _Shares(losses_C, z_CV, place_C, here_C)


class _SummedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor, own: Vocabulary
    ) -> Tensor:
        loss = features_ND.new_zeros((), dtype=torch.float32)
        slope_ND, slope_VD = torch.empty_like(features_ND), torch.zeros_like(weight_VD)
        slope_V = None if bias_V is None else torch.zeros_like(bias_V)
        for part in _chunks(len(features_ND), own):
            x_CD, targets_C = features_ND[part], targets_N[part]
            shares = _shares(F.linear(x_CD, weight_VD, bias_V).float(), targets_C, own)
            loss += shares.losses_C.sum()
            slope_CV = shares.softmax_CV.scatter_add_(-1, shares.place_C[:, None], -shares.here_C[:, None].float())
            slope_CV = slope_CV.mul_((targets_C != IGNORED)[:, None]).to(x_CD.dtype)
            torch.mm(slope_CV, weight_VD, out=slope_ND[part])
            slope_VD.addmm_(slope_CV.t(), x_CD)
            if slope_V is not None:
                slope_V += slope_CV.sum(dim=0)
        ctx.save_for_backward(slope_ND, slope_VD, slope_V)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        return *(None if sums is None else sums * slope.to(sums.dtype) for sums in ctx.saved_tensors), None, None


def _chunks(rows: int, own: Vocabulary) -> Iterator[slice]:
    """The same on all ranks of the group, since they meet in each."""
    size = max(1, ENTRIES // own.most)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
