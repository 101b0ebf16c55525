"""The loss of a language model on text it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.models import Batch

SEQUENCES_AT_ONCE = 64


@dataclass(frozen=True)
class ValidationLoss:
    """Mean loss in nats per token, with its standard error over sequences (a sequence's tokens are not independent)."""

    nats: float
    standard_error: float


def batch_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy in nats per predicted token (a scalar)."""
    logits_BTV: Tensor = model(batch)
    return F.cross_entropy(logits_BTV.flatten(0, 1), batch.targets.flatten())


@torch.no_grad()
def validation_loss(model: nn.Module, batch: Batch) -> ValidationLoss:
    """Loss of `model` on `batch`, some sequences at a time; infinite or NaN where the model's outputs are."""
    was_training = model.training
    model.eval()
    losses = []
    for part in batch.split(SEQUENCES_AT_ONCE):
        logits_BTV = model(part)
        losses.append(F.cross_entropy(logits_BTV.transpose(1, 2), part.targets, reduction="none").double().mean(dim=1))
    model.train(was_training)
    per_sequence = torch.cat(losses)
    spread = per_sequence.std().item() if len(per_sequence) > 1 else 0.0
    return ValidationLoss(per_sequence.mean().item(), spread / len(per_sequence) ** 0.5)
