"""The settings of a study's optimiser, AdamW with one group per weight rule of the parametrisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from isoflop.errors import UserError
from isoflop.models import WeightRule
from isoflop.training.methods import AdamW


@dataclass(frozen=True)
class OptimizerConfig:
    """`lr` is the parametrisation's global rate η; `weight_decay` is independent: each step takes away that share of
    every matrix (not of gains and biases) times the schedule, whatever the rate (Loshchilov & Hutter 2019, arXiv
    1711.05101).

    `beta2` 0.95 is the usual choice for language models since Brown et al. 2020 (arXiv 2005.14165, appendix B).
    """

    lr: float
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    clip: float = 1.0

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise UserError(f"train.lr must be above 0, not {self.lr}.")
        if not self.clip > 0:
            raise UserError(f"train.clip must be above 0, not {self.clip}.")


def build_optimizer(model: nn.Module, rules: dict[str, WeightRule], config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over `model`, each weight with the rate and ε that `rules[name]` gives it; groups carry `peak_lr`."""
    method = AdamW(config.beta1, config.beta2, config.eps)
    return method.over(list(model.named_parameters()), rules, lr=config.lr, weight_decay=config.weight_decay)
