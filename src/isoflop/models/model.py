"""What the three models have in common: tables of tokens, places and segments in front, a head behind.

B batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.errors import UserError
from isoflop.models.batch import Batch
from isoflop.models.cache import Cache
from isoflop.models.positions import BOUNDED, document_places, sinusoidal_table
from isoflop.models.prompts import Prompting
from isoflop.shapes import ModelShape


class Model(nn.Module):
    """Abstract: `forward(batch)` is `head(features(batch))`, the logits (B, T, V) of what the batch asks to predict."""

    sinusoid_TD: Tensor

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        if shape.experts > 1:
            raise UserError(f"Models with experts can be counted and planned, not built: {shape.experts} experts.")
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab, shape.width)
        self.position_table = nn.Embedding(shape.context, shape.width) if shape.positions == "learned" else None
        self.segment_table = nn.Embedding(shape.segments, shape.width) if shape.segments else None
        if shape.positions == "sinusoidal":
            table_TD = sinusoidal_table(shape.context, shape.width)
            self.register_buffer("sinusoid_TD", table_TD, persistent=False)

    def add_head(self) -> None:
        """The output matrix, which shares the embedding's weight where the shape says so."""
        shape = self.shape
        self.head = nn.Linear(shape.width, shape.vocab, bias=shape.transform and shape.biases == "all")
        if shape.tied:
            self.head.weight = self.embedding.weight

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.features(batch))

    @abstractmethod
    def features(self, batch: Batch) -> Tensor:
        """What goes into the head: (B, T, D)."""

    @property
    def room(self) -> int:
        """Tokens that fit into the context (of an encoder-decoder: of a source) beside a prompt."""
        return self.shape.context - sum(part.length for part in self.modules() if isinstance(part, Prompting))

    def placed(self, batch: Batch, cache: Cache) -> Tensor:
        """The places (B or 1, T) of tokens that follow those in `cache`, which counts them from now on."""
        places = cache.extend(batch)
        shape = self.shape
        if cache.longest > shape.context and shape.positions in BOUNDED:
            raise UserError(f"A sequence grew to {cache.longest} tokens, but the model's context is {shape.context}.")
        return places

    def embed(
        self,
        tokens_BT: Tensor,
        documents: Tensor | None,
        segments: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Tokens' vectors (B, T, D) with those of their places, from each document's start, and of their segments.

        `places` (B or 1, T): those of tokens that others stand before, as a `Cache` counts them.
        """
        shape, length = self.shape, tokens_BT.shape[1]
        if length > shape.context and shape.positions in BOUNDED and places is None:
            raise UserError(f"The batch has {length} tokens a sequence, but the model's context is {shape.context}.")
        x_BTD = self.embedding(tokens_BT)
        if shape.positions in ("learned", "sinusoidal"):
            table_TD = self.position_table.weight if self.position_table is not None else self.sinusoid_TD
            if places is None and documents is not None:
                places = document_places(documents)
            x_BTD = x_BTD + (table_TD[:length] if places is None else F.embedding(places.clamp(0), table_TD))
        if self.segment_table is not None:
            segments = torch.zeros_like(tokens_BT) if segments is None else segments
            x_BTD = x_BTD + self.segment_table(segments)
        elif segments is not None:
            raise UserError("The batch has segments, but the model has no table of them: set the shape's segments.")
        return x_BTD
