"""A pretrained model with a head for labels: to the training loop a model that predicts one token a text, its label.

B texts, T tokens, D width, K labels.
"""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor, nn

from isoflop.adaptation.long_text.segments import Segments
from isoflop.adaptation.task_model import TaskModel
from isoflop.errors import UserError
from isoflop.models import PADDING, Batch, Encoder, Model

Pooling = Literal["mean", "first", "last", "pooler"]
POOLINGS: tuple[Pooling, ...] = ("mean", "first", "last", "pooler")
HEAD_STD = 0.02
"""First weights of the head, as BERT's (Devlin et al. 2019, arXiv 1810.04805, and its code)."""


@final
class Classifier(TaskModel):
    """`body` with a linear `head` behind the mean of a text's states, the state of its first or last token, or what the
    body's own pooler makes of the first; where texts are read in segments, behind what `segments` makes of theirs.

    `features` and `head` are what the loss asks for, and a batch's targets are (B, 1): numbers of labels.
    """

    def __init__(
        self, body: Model, labels: int, *, pooling: Pooling, seed: int = 0, segments: Segments | None = None
    ) -> None:
        super().__init__()
        self.body, self.pooling, self.segments = body, pooling, segments
        self.reads = parts_read(pooling)
        self.head = nn.Linear(body.shape.width, labels)
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.head.weight, std=HEAD_STD, generator=generator)
        nn.init.zeros_(self.head.bias)

    def features(self, batch: Batch) -> Tensor:
        """The pooled states: (B, 1, D)."""
        x_BD = self._read(batch) if self.segments is None else self.segments(batch, self._read)
        return x_BD[:, None]

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, 1, K)."""
        return self.head(self.features(batch))

    def _read(self, batch: Batch) -> Tensor:
        """One vector of each sequence: (B, D)."""
        return text_vectors(self.body, batch, self.pooling)


def pooling_for(body: Model, wanted: Pooling | None) -> Pooling:
    """What is wanted, else the mean of an encoder, whose tokens have all seen the text, and a decoder's last token,
    which alone has. Raises `UserError` for a pooler that `body` has not."""
    if wanted == "pooler" and not body.shape.pooler:
        raise UserError("--pooling pooler needs an encoder that was trained on sentence pairs: this one has no pooler.")
    return wanted or ("mean" if isinstance(body, Encoder) else "last")


def parts_read(pooling: Pooling) -> tuple[str, ...]:
    """The parts behind a body's states that `text_vectors` reads."""
    return ("pooler",) if pooling == "pooler" else ()


def text_vectors(body: Model, batch: Batch, pooling: Pooling) -> Tensor:
    """One vector of each text, before what `body` has for its own objective: (B, D)."""
    if not isinstance(body, Encoder):
        return pooled(body.features(batch), batch.documents, pooling)
    x_BTD = body.states(batch)
    return body.first_pooled(x_BTD) if pooling == "pooler" else pooled(x_BTD, batch.documents, pooling)


def pooled(x_BTD: Tensor, documents: Tensor | None, pooling: Pooling) -> Tensor:
    """One vector (B, D) of each text's states, without padding, which stands at the end."""
    if pooling == "first":
        return x_BTD[:, 0]
    if documents is None:
        return x_BTD.mean(dim=1) if pooling == "mean" else x_BTD[:, -1]
    there_BT = documents != PADDING
    count_B = there_BT.sum(dim=1)
    if pooling == "last":
        return x_BTD[torch.arange(len(x_BTD), device=x_BTD.device), count_B - 1]
    return (x_BTD * there_BT[..., None]).sum(dim=1) / count_B[:, None]
