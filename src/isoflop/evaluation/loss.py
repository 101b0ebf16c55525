"""The loss of a language model: on a batch while it trains, and on text it was not trained on."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.evaluation.cross_entropy import Head, cross_entropy_rows, mean_cross_entropy
from isoflop.models import IGNORED, Batch, Encoder, Model

SEQUENCES_AT_ONCE = 64


@dataclass(frozen=True)
class ValidationLoss:
    """Mean loss in nats per predicted token, with its standard error over sequences (a sequence's tokens are not
    independent)."""

    nats: float
    standard_error: float

    @classmethod
    def of(cls, nats_B: Tensor, count_B: Tensor) -> ValidationLoss:
        """Of each sequence's nats and predicted tokens, summed over it; one that predicts nothing is left out.

        The mean is r = Σn / Σc, and its standard error that of a ratio, √(Σ(n - r·c)² / (B - 1) / B) / mean(c)
        (Cochran 1977, Sampling Techniques, chapter 6): that of a mean where all c are the same.
        """
        n_B, c_B = nats_B[count_B > 0].double(), count_B[count_B > 0].double()
        ratio = n_B.sum() / c_B.sum()
        if len(n_B) < 2:
            return cls(ratio.item(), 0.0)
        variance = (n_B - ratio * c_B).square().sum() / (len(n_B) - 1) / len(n_B)
        return cls(ratio.item(), (variance.sqrt() / c_B.mean()).item())


def batch_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy in nats per predicted token (a scalar), plus that of the pairs' order where there is one."""
    tokens, pairs = loss_parts(model, batch)
    return tokens if pairs is None else tokens + pairs


def loss_parts(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Mean cross-entropy over the predicted tokens, and over the pairs' labels where there are any, from one pass.

    Computed in the model's `compute_dtype` where it has one, else in its weights'. A model that has a `loss(batch)`, a
    mean over the batch's targets, is asked for that; one with `features` and a linear `head` is not asked for its
    logits: they are made and used some rows at a time.
    """
    with precision_of(model, batch.inputs.device):
        own = getattr(model, "loss", None)
        if own is not None:
            return own(batch), None
        head, targets_N = _linear_head(model, batch.inputs.device), batch.targets.flatten()
        if head is None:
            return F.cross_entropy(model(batch).flatten(0, 1).float(), targets_N), None
        if batch.order is None:
            return mean_cross_entropy(cast(Model, model).features(batch).flatten(0, 1), head, targets_N), None
        features_BTD, pairs_B2 = cast(Encoder, model).features_and_pair_logits(batch)
        tokens = mean_cross_entropy(features_BTD.flatten(0, 1), head, targets_N)
        return tokens, F.cross_entropy(pairs_B2.float(), batch.order)


@torch.no_grad()
def validation_loss(model: nn.Module, batch: Batch) -> ValidationLoss:
    """Loss of `model` on `batch`, some sequences at a time; infinite or NaN where the model's outputs are."""
    was_training = model.training
    model.eval()
    with precision_of(model, batch.inputs.device), _without_compiling():
        nats_B = torch.cat([_sequence_losses(model, part) for part in batch.split(SEQUENCES_AT_ONCE)])
    model.train(was_training)
    return ValidationLoss.of(nats_B, (batch.targets != IGNORED).sum(dim=1))


def _sequence_losses(model: nn.Module, batch: Batch) -> Tensor:
    """The nats of each sequence, summed over its predicted tokens, in float64."""
    counted_BT = batch.targets != IGNORED
    nats_BT = torch.zeros(batch.targets.shape, dtype=torch.float64, device=batch.targets.device)
    nats_BT[counted_BT] = _counted_losses(model, batch, counted_BT).double()
    return nats_BT.sum(dim=1)


@torch.no_grad()
def token_losses(model: nn.Module, batch: Batch) -> Tensor:
    """The loss in nats of each token of `batch` that is to be predicted (N,), in order."""
    with precision_of(model, batch.inputs.device):
        return _counted_losses(model, batch, batch.targets != IGNORED)


def _counted_losses(model: nn.Module, batch: Batch, counted_BT: Tensor) -> Tensor:
    """The loss of each counted token, in order."""
    head = _linear_head(model, batch.inputs.device)
    if head is None:
        return F.cross_entropy(model(batch)[counted_BT], batch.targets[counted_BT], reduction="none")
    return cross_entropy_rows(cast(Model, model).features(batch)[counted_BT], head, batch.targets[counted_BT])


def _linear_head(model: nn.Module, device: torch.device) -> Head | None:
    """The head where it is a plain linear layer on `features`: what can be computed some rows at a time."""
    layer = getattr(model, "head", None)
    if not isinstance(layer, nn.Linear) or not hasattr(model, "features"):
        return None
    autocast = torch.is_autocast_enabled(device.type)
    return Head(layer.weight, layer.bias, torch.get_autocast_dtype(device.type) if autocast else layer.weight.dtype)


def precision_of(model: nn.Module, device: torch.device) -> AbstractContextManager[object]:
    """The context in which the model computes: low precision where its `compute_dtype` says so."""
    dtype = getattr(model, "compute_dtype", None)
    if dtype in (torch.bfloat16, torch.float16):
        return torch.autocast(device.type, dtype)
    return nullcontext()


def _without_compiling() -> AbstractContextManager[object]:
    """Compiled blocks run as plain code for a while: sequences of another number would have them compiled again."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
