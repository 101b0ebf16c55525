"""How a model is fine-tuned: method, rates, lengths. The defaults are BERT's recipe."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from isoflop.adaptation.classifier import POOLINGS, Pooling
from isoflop.adaptation.depth import depth_of
from isoflop.adaptation.joint import Joint
from isoflop.adaptation.losses import AnswerLoss
from isoflop.adaptation.methods import Full, Method
from isoflop.adaptation.task_model import TaskModel
from isoflop.errors import UserError


@dataclass(frozen=True)
class Recipe:
    """AdamW at `learning_rate` (None: the method's usual one) over `epochs` epochs in batches of `batch` texts.

    The rate rises over `warmup_share` of the steps and falls in a line towards zero; `weight_decay` is AdamW's own, on
    matrices alone; `clip` the largest gradient norm. Texts are cut behind `longest` tokens (None: the model's context).
    Devlin et al. 2019, arXiv 1810.04805, appendix A.3.

    A batch passes through the model in `accumulate` parts. The rate of a layer is that of the layer above it times
    `layer_decay` (Howard and Ruder 2018, arXiv 1801.06146, section 3.2). With `unfreeze` the first epoch trains what
    stands behind the last block, and each further epoch so many blocks more. Training ends after `patience` epochs
    that were no better on dev, and then the best epoch's weights are kept (None: the last epoch's).
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
    accumulate: int = 1
    layer_decay: float = 1.0
    unfreeze: int | None = None
    patience: int | None = None
    loss: AnswerLoss = field(default_factory=AnswerLoss)
    joint: Joint | None = None

    def __post_init__(self) -> None:
        counts = {"batch": self.batch, "epochs": self.epochs, "accumulate": self.accumulate}
        for flag, count in {**counts, "unfreeze": self.unfreeze, "patience": self.patience}.items():
            if count is not None and count < 1:
                raise UserError(f"--{flag} must be at least 1, not {count}.")
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"--layer-decay must be above 0 and at most 1, not {self.layer_decay}.")
        if self.joint is not None and self.method.name == "head":
            raise UserError("--joint-alpha trains the pretrained model further, and --method head leaves it as it is.")
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

    def notes(self, model: TaskModel) -> tuple[str, ...]:
        """What to say of it before it is applied to `model`."""
        layers = model.body.shape.layers
        left = 0 if self.unfreeze is None else layers - self.unfreeze * (self.epochs - 1)
        if left <= 0:
            return ()
        return (f"In {self.epochs} epochs the lowest {left} of {layers} blocks and the embeddings are never trained.",)

    def optimizer(self, model: TaskModel) -> torch.optim.AdamW:
        """AdamW over what `model` trains; a parametrisation is folded into the weights, so a layer has one rate."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                rate = self.rate * self.layer_decay ** depth_of(name, model.body.shape.layers)
                groups.setdefault((rate, self.weight_decay if weight.ndim > 1 else 0.0), []).append(weight)
        named = [
            {"params": weights, "lr": rate, "peak_lr": rate, "weight_decay": decay}
            for (rate, decay), weights in groups.items()
        ]
        return torch.optim.AdamW(named, betas=(0.9, 0.999), eps=1e-8, fused=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the method's name and settings."""
        plain = {key: value for key, value in asdict(self).items() if key != "method"}
        if self.joint is not None and self.joint.text is not None:
            plain["joint"]["text"] = str(self.joint.text)
        return {**plain, "learning_rate": self.rate, "method": {"name": self.method.name, **asdict(self.method)}}
