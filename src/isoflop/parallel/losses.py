"""Cross-entropy as a sum over the targets of each sequence, also where the logits are divided over the vocabulary.

B batch, T tokens, V vocabulary (the rank's part of it).
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from isoflop.models import IGNORED
from isoflop.parallel import collectives


def summed_loss(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over the targets of each sequence that are not `IGNORED` (B)."""
    nats_N = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORED, reduction="none")
    return nats_N.view_as(targets_BT).sum(dim=1)


def divided_loss(logits_BTV: Tensor, targets_BT: Tensor, *, first: int, group: dist.ProcessGroup) -> Tensor:
    """The same, of logits of which this rank holds the tokens from `first` on; every rank of the group gets the sums.

    log Σ exp is put together from each rank's maximum and sum, the target's logit from the one rank that holds it, so
    that no rank ever sees all logits (Shoeybi et al. 2019, arXiv 1909.08053, section 3).
    """
    logits = logits_BTV.float()
    highest_BT = collectives.sum_over(logits.detach().amax(dim=-1), group, kind=dist.ReduceOp.MAX)
    shifted = logits - highest_BT[..., None]
    log_sum_BT = collectives.total(shifted.exp().sum(dim=-1), group).log()
    place_BT = targets_BT - first
    elsewhere_BT = (place_BT < 0) | (place_BT >= logits.shape[-1])
    chosen_BT = shifted.gather(-1, place_BT.masked_fill(elsewhere_BT, 0)[..., None])[..., 0]
    target_BT = collectives.total(chosen_BT.masked_fill(elsewhere_BT, 0.0), group)
    return torch.where(targets_BT == IGNORED, 0.0, log_sum_BT - target_BT).sum(dim=1)
