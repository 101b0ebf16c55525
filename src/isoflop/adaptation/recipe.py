"""How a model is fine-tuned: method, rates, lengths. The defaults are BERT's recipe."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from isoflop.adaptation.classifier import POOLINGS, Pooling
from isoflop.adaptation.methods import Full, Method
from isoflop.errors import UserError


@dataclass(frozen=True)
class Recipe:
    """AdamW at `learning_rate` (None: the method's usual one) over `epochs` epochs in batches of `batch` texts.

    The rate rises over `warmup_share` of the steps and falls in a line towards zero; `weight_decay` is AdamW's own, on
    matrices alone; `clip` the largest gradient norm. Texts are cut behind `longest` tokens (None: the model's context).
    Devlin et al. 2019, arXiv 1810.04805, appendix A.3.
    """

    method: Method = field(default_factory=Full)
    learning_rate: float | None = None
    batch: int = 32
    epochs: int = 3
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    longest: int | None = None
    pooling: Pooling | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for flag, count in (("batch", self.batch), ("epochs", self.epochs)):
            if count < 1:
                raise UserError(f"--{flag} must be at least 1, not {count}.")
        if not 0 < self.rate < math.inf:
            raise UserError(f"--lr must be above 0 and finite, not {self.rate}.")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed must be at least 0 and below 2^31, not {self.seed}.")
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise UserError(f"--pooling is {self.pooling!r}: choose {', '.join(POOLINGS)}.")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise UserError(f"--precision is {self.precision!r}: choose auto, fp32 or bf16.")

    @property
    def rate(self) -> float:
        """The peak learning rate."""
        return self.method.learning_rate if self.learning_rate is None else self.learning_rate

    def tokens_of(self, context: int) -> int:
        """The longest text in tokens. Raises `UserError` where the model's `context` is shorter, or nothing is left."""
        room = context - self.method.places
        longest = room if self.longest is None else self.longest
        if longest > room:
            taken = f", of which {self.method.name} takes {self.method.places}" if self.method.places else ""
            raise UserError(
                f"--max-length is {longest}, but the model reads {context} tokens{taken}: ask for at most {room}."
            )
        if longest < 3:
            raise UserError(
                f"The longest text is {longest} tokens, which leaves no room for one: it must be 3 or more."
            )
        return longest

    def optimizer(self, model: nn.Module) -> torch.optim.AdamW:
        """AdamW over what `model` trains; a parametrisation is folded into the weights, so all have one rate."""
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        sides = (([w for w in trained if w.ndim > 1], self.weight_decay), ([w for w in trained if w.ndim < 2], 0.0))
        groups = [
            {"params": weights, "lr": self.rate, "peak_lr": self.rate, "weight_decay": decay}
            for weights, decay in sides
        ]
        return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the method's name and settings."""
        plain = {key: value for key, value in asdict(self).items() if key != "method"}
        return {**plain, "learning_rate": self.rate, "method": {"name": self.method.name, **asdict(self.method)}}
