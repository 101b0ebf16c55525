"""Optimisers as values: AdamW, Muon, SGD, each with the learning rate that the parametrisation gives every weight.

The parametrisation's table holds Adam's rates, folded (docs/decisions/0002). What the other two make of them:

| method | hidden matrix | embedding, gain, bias | output | for |
| --- | --- | --- | --- | --- |
| AdamW | C·A | C·A | C·A | all |
| Muon | C·A·r, r = √(what C·A lost to the width) | AdamW | AdamW | all |
| SGD | C·A | m_N | A²·C = 1/m_N | SP (all 1), μP |
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from isoflop.errors import UserError
from isoflop.models import Parametrization, WeightRule
from isoflop.models.parametrization import Size
from isoflop.training.muon import SplitMuon, Together, muon_factor, pieces

Groups = list[dict[str, Any]]


@dataclass(frozen=True)
class Rates:
    """How fast weights learn: the global rate η, the independent weight decay, and the parametrisation at a size.

    Weight decay is a share that each step takes off every matrix times the schedule, whatever the rate.
    """

    lr: float
    weight_decay: float
    table: Parametrization
    size: Size


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101), fused."""

    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    name = "adamw"

    def __post_init__(self) -> None:
        for key in ("beta1", "beta2"):
            if not 0 <= getattr(self, key) < 1:
                raise UserError(f"optimizer.{key} must be at least 0 and below 1, not {getattr(self, key)}.")
        if not self.eps > 0:
            raise UserError(f"optimizer.eps must be above 0, not {self.eps}.")

    def build(self, model: nn.Module, rules: dict[str, WeightRule], rates: Rates) -> torch.optim.Optimizer:
        """The optimiser of all of `model`; its groups carry `peak_lr`."""
        return self.over(list(model.named_parameters()), rules, lr=rates.lr, weight_decay=rates.weight_decay)

    def over(
        self, weights: list[tuple[str, nn.Parameter]], rules: dict[str, WeightRule], *, lr: float, weight_decay: float
    ) -> torch.optim.AdamW:
        """The same for some `weights`: one group for each rule."""
        members: defaultdict[WeightRule, list[nn.Parameter]] = defaultdict(list)
        for name, parameter in weights:
            members[rules[name]].append(parameter)
        groups: Groups = [
            {**_group(parameters, lr * rule.lr_factor, weight_decay * rule.decays), "eps": self.eps * rule.eps_factor}
            for rule, parameters in members.items()
        ]
        return torch.optim.AdamW(groups, betas=(self.beta1, self.beta2), fused=True)


@dataclass(frozen=True)
class Muon:
    """Momentum made orthogonal by five Newton–Schulz steps, for hidden matrices; `rest` trains everything else.

    Jordan et al. 2024 (kellerjordan.github.io/posts/muon), with the update scaled to the size of AdamW's, 0.2 per
    entry (Liu et al. 2025, arXiv 2502.16982, section 2.2), so that AdamW's rate and weight decay serve it too. Query,
    key, value, and gate and value of the feed-forward, are matrices of their own though one weight holds them.
    """

    momentum: float = 0.95
    rest: AdamW = field(default_factory=AdamW)
    name = "muon"

    def __post_init__(self) -> None:
        _check_momentum(self.momentum)
        if not hasattr(torch.optim, "Muon"):
            raise UserError(f"Muon needs torch 2.9 or later, this is {torch.__version__}: choose optimizer.name adamw.")

    def build(self, model: nn.Module, rules: dict[str, WeightRule], rates: Rates) -> Together:
        """Muon over the hidden matrices of `model`, `rest` over its other weights."""
        hidden: list[tuple[str, nn.Parameter]] = []
        others: list[tuple[str, nn.Parameter]] = []
        for name, parameter in model.named_parameters():
            is_matrix = rules[name].role == "hidden" and parameter.ndim == 2
            (hidden if is_matrix else others).append((name, parameter))
        found: defaultdict[tuple[float, bool], list[tuple[nn.Parameter, slice]]] = defaultdict(list)
        for name, parameter in hidden:
            rule = rules[name]
            for rows in pieces(name, model.shape):  # type: ignore[arg-type]
                factor = muon_factor(rates.table, rates.size, *parameter[rows].shape)
                found[rule.lr_factor * factor, rule.decays].append((parameter, rows))
        muon = SplitMuon(
            [
                (members, _group([], rates.lr * factor, rates.weight_decay * decays))
                for (factor, decays), members in found.items()
            ],
            momentum=self.momentum,
        )
        return Together((muon, self.rest.over(others, rules, lr=rates.lr, weight_decay=rates.weight_decay)))


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum; rates as in Yang et al. 2022 (arXiv 2203.03466, table 8).

    Weight decay enters with the gradient, scaled so that with a steady momentum each step takes away its share.
    """

    momentum: float = 0.9
    nesterov: bool = False
    name = "sgd"

    def __post_init__(self) -> None:
        _check_momentum(self.momentum)

    def build(self, model: nn.Module, rules: dict[str, WeightRule], rates: Rates) -> torch.optim.Optimizer:
        """The optimiser. Raises `UserError` for a parametrisation that has no published rule for SGD."""
        if rates.table.name not in ("sp", "mup"):
            raise UserError(f"{rates.table.name} has no published rates for SGD: use AdamW or Muon, or sp or mup.")
        members: defaultdict[tuple[float, bool], list[nn.Parameter]] = defaultdict(list)
        for name, parameter in model.named_parameters():
            factor = 1.0 if rates.table.name == "sp" else _sgd_factor(name, rules[name], rates.size)
            members[factor, rules[name].decays].append(parameter)
        groups = [
            _group(parameters, rates.lr * factor, rates.weight_decay * decays * (1 - self.momentum))
            for (factor, decays), parameters in members.items()
        ]
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov)


Method = AdamW | Muon | SGD


def _group(parameters: list[nn.Parameter], peak: float, decay: float) -> dict[str, Any]:
    return {"params": parameters, "lr": peak, "peak_lr": peak, "weight_decay": decay / peak}


def _sgd_factor(name: str, rule: WeightRule, size: Size) -> float:
    if rule.role == "hidden":
        return 1.0
    if rule.role == "output":
        return 1 / size.width_ratio
    if name in ("head.bias", "pair_head.bias"):  # as many as there are answers, whatever the width
        return 1.0
    return size.width_ratio


def _check_momentum(momentum: float) -> None:
    if not 0 <= momentum < 1:
        raise UserError(f"optimizer.momentum must be at least 0 and below 1, not {momentum}.")


def group_rates(optimizer: Any) -> Iterator[float]:
    """The learning rate of every group, now."""
    return (float(group["lr"]) for group in optimizer.param_groups)
