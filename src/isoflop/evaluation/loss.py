"""The loss of a language model: on a batch while it trains, and on text it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.evaluation.cross_entropy import Head, cross_entropy_rows, mean_cross_entropy
from isoflop.models import IGNORED, Batch

SEQUENCES_AT_ONCE = 64


@dataclass(frozen=True)
class ValidationLoss:
    """Mean loss in nats per token, with its standard error over sequences (a sequence's tokens are not independent)."""

    nats: float
    standard_error: float


def batch_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy in nats per predicted token (a scalar), plus that of the pairs' order where there is one.

    A model with `features` and a linear `head` is not asked for its logits: they are made and used some rows at a time.
    """
    head = _linear_head(model, batch.inputs.device)
    if head is None:
        return F.cross_entropy(model(batch).flatten(0, 1).float(), batch.targets.flatten())
    if batch.order is None:
        return mean_cross_entropy(model.features(batch).flatten(0, 1), head, batch.targets.flatten())
    features_BTD, pairs_B2 = model.features_and_pair_logits(batch)
    tokens = mean_cross_entropy(features_BTD.flatten(0, 1), head, batch.targets.flatten())
    return tokens + F.cross_entropy(pairs_B2.float(), batch.order)


@torch.no_grad()
def validation_loss(model: nn.Module, batch: Batch) -> ValidationLoss:
    """Loss of `model` on `batch`, some sequences at a time; infinite or NaN where the model's outputs are.

    Each sequence counts by its mean over predicted tokens; one in which nothing is predicted does not count.
    """
    was_training = model.training
    model.eval()
    losses = []
    for part in batch.split(SEQUENCES_AT_ONCE):
        counted_BT = part.targets != IGNORED
        nats_BT = torch.zeros(part.targets.shape, dtype=torch.float64, device=part.targets.device)
        nats_BT[counted_BT] = _token_losses(model, part, counted_BT).double()
        count_B = counted_BT.sum(dim=1)
        losses.append((nats_BT.sum(dim=1) / count_B)[count_B > 0])
    model.train(was_training)
    per_sequence = torch.cat(losses)
    spread = per_sequence.std().item() if len(per_sequence) > 1 else 0.0
    return ValidationLoss(per_sequence.mean().item(), spread / len(per_sequence) ** 0.5)


def _token_losses(model: nn.Module, batch: Batch, counted_BT: Tensor) -> Tensor:
    """The loss of each counted token, in order."""
    head = _linear_head(model, batch.inputs.device)
    if head is None:
        return F.cross_entropy(model(batch)[counted_BT], batch.targets[counted_BT], reduction="none")
    return cross_entropy_rows(model.features(batch)[counted_BT], head, batch.targets[counted_BT])


def _linear_head(model: nn.Module, device: torch.device) -> Head | None:
    """The head where it is a plain linear layer on `features`: what can be computed some rows at a time."""
    layer = getattr(model, "head", None)
    if not isinstance(layer, nn.Linear) or not hasattr(model, "features"):
        return None
    autocast = torch.is_autocast_enabled(device.type)
    return Head(layer.weight, layer.bias, torch.get_autocast_dtype(device.type) if autocast else layer.weight.dtype)
