"""The loss of a language model on text it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.models import IGNORED, Batch

SEQUENCES_AT_ONCE = 64


@dataclass(frozen=True)
class ValidationLoss:
    """Mean loss in nats per token, with its standard error over sequences (a sequence's tokens are not independent)."""

    nats: float
    standard_error: float


def batch_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy in nats per predicted token (a scalar), plus that of the pairs' labels where there are any."""
    loss, order_loss = loss_parts(model, batch)
    return loss if order_loss is None else loss + order_loss


def loss_parts(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Mean cross-entropy over the predicted tokens, and over the pairs' labels where there are any."""
    if batch.order is None:
        return F.cross_entropy(model(batch).flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED), None
    features_BTD, pair_logits_B2 = model.features_and_pair_logits(batch)  # type: ignore[operator]
    logits_BTV = model.head(features_BTD)  # type: ignore[operator]
    loss = F.cross_entropy(logits_BTV.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED)
    return loss, F.cross_entropy(pair_logits_B2, batch.order)


@torch.no_grad()
def validation_loss(model: nn.Module, batch: Batch) -> ValidationLoss:
    """Loss of `model` on `batch`, some sequences at a time; infinite or NaN where the model's outputs are.

    Each sequence counts by its mean over predicted tokens; one in which nothing is predicted does not count.
    """
    was_training = model.training
    model.eval()
    losses = []
    for part in batch.split(SEQUENCES_AT_ONCE):
        logits_BTV = model(part)
        nats_BT = F.cross_entropy(logits_BTV.transpose(1, 2), part.targets, reduction="none", ignore_index=IGNORED)
        count_B = (part.targets != IGNORED).sum(dim=1)
        losses.append((nats_BT.double().sum(dim=1) / count_B)[count_B > 0])
    model.train(was_training)
    per_sequence = torch.cat(losses)
    spread = per_sequence.std().item() if len(per_sequence) > 1 else 0.0
    return ValidationLoss(per_sequence.mean().item(), spread / len(per_sequence) ** 0.5)
