"""An encoder: each token sees the whole of its document. Masked words, and labels of sentence pairs.

B batch, T tokens, D width.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from isoflop.errors import UserError
from isoflop.models.batch import Batch
from isoflop.models.blocks import activation
from isoflop.models.layers import Layers
from isoflop.models.model import Model
from isoflop.models.norms import build_norm
from isoflop.shapes import ModelShape
from isoflop.shapes.counting import PAIR_LABELS

BEHIND_THE_STATES = ("head", "transform", "transform_norm", "pooler", "pair_head")
"""Parts of a model, of an encoder above all, that stand behind its last states."""


@final
class Encoder(Model, Layers):
    """A batch's inputs (B, T) to logits (B, T, V). `logit_scale` multiplies q·k in every head.

    With `transform` a layer stands before the head, and with `pooler` the first token's state also goes into
    `pair_head`, the logits of the pair's two labels (Devlin et al. 2019, arXiv 1810.04805, and its code).
    """

    def __init__(self, shape: ModelShape, *, logit_scale: float) -> None:
        super().__init__(shape)
        self.add_layers(shape, logit_scale, causal=False)
        self.transform = nn.Linear(shape.width, shape.width, bias=shape.biases == "all") if shape.transform else None
        self.transform_norm = build_norm(shape, shape.width) if shape.transform else None
        self.pooler = nn.Linear(shape.width, shape.width) if shape.pooler else None
        self.pair_head = nn.Linear(shape.width, PAIR_LABELS) if shape.pooler else None
        self.add_head()

    def states(self, batch: Batch) -> Tensor:
        """The last block's states, normed: (B, T, D)."""
        if batch.prefix is not None:
            raise UserError("The batch has a prefix, but in an encoder all tokens see each other: train a decoder.")
        if batch.source is not None:
            raise UserError("The batch has a source, which an encoder alone does not read: train an encoder_decoder.")
        x_BTD = self.embed(batch.inputs, batch.documents, batch.segments)
        return self.of_tokens(self.run_layers(x_BTD, documents=batch.documents), batch.inputs.shape[1])

    def features(self, batch: Batch) -> Tensor:
        return self._transformed(self.states(batch))

    def pair_logits(self, batch: Batch) -> Tensor:
        """Logits of the pair's labels: (B, 2). Raises `UserError` for a model without a pooler."""
        return self._paired(self.states(batch))

    def features_and_pair_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Both from one pass: what goes into the head (B, T, D), and the logits of the pair's labels (B, 2)."""
        x_BTD = self.states(batch)
        return self._transformed(x_BTD), self._paired(x_BTD)

    def _transformed(self, x_BTD: Tensor) -> Tensor:
        if self.transform is None or self.transform_norm is None:
            return x_BTD
        return self.transform_norm(activation(self.shape.feed_forward, self.transform(x_BTD)))

    def _paired(self, x_BTD: Tensor) -> Tensor:
        if self.pair_head is None:
            raise UserError("A model without a pooler can't tell pairs apart: set pooler in the shape.")
        return self.pair_head(self.first_pooled(x_BTD))

    def first_pooled(self, x_BTD: Tensor) -> Tensor:
        """What the pooler makes of the first token's state: (B, D). Only of a model that has one."""
        assert self.pooler is not None
        return torch.tanh(self.pooler(x_BTD[:, 0]))
