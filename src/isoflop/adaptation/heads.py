"""What tasks put behind a pretrained model's last states.

B texts, T tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isoflop.adaptation.classifier import HEAD_STD
from isoflop.models import Batch, Encoder, Model


def new_head(width: int, outputs: int, *, seed: int) -> nn.Linear:
    """A linear layer with BERT's first weights (see `classifier.HEAD_STD`), drawn by `seed` alone."""
    head = nn.Linear(width, outputs)
    nn.init.normal_(head.weight, std=HEAD_STD, generator=torch.Generator().manual_seed(seed))
    nn.init.zeros_(head.bias)
    return head


def last_states(body: Model, batch: Batch) -> Tensor:
    """The states of the batch's tokens, (B, T, D): without what an encoder has behind them for its own objective."""
    return body.states(batch) if isinstance(body, Encoder) else body.features(batch)


def device_of(model: nn.Module) -> torch.device:
    """Where the model is."""
    return next(model.parameters()).device
