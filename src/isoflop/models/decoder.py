"""A decoder: each token sees itself and what came before.

B batch, T tokens, D width.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from isoflop.errors import UserError
from isoflop.models.batch import Batch
from isoflop.models.cache import Cache
from isoflop.models.layers import Layers
from isoflop.models.model import Model
from isoflop.shapes import ModelShape


@final
class Decoder(Model, Layers):
    """A batch's inputs (B, T) to logits (B, T, V). `logit_scale` multiplies q·k in every head."""

    def __init__(self, shape: ModelShape, *, logit_scale: float) -> None:
        super().__init__(shape)
        self.add_layers(shape, logit_scale, causal=True)
        self.add_head()

    def features(self, batch: Batch, cache: Cache | None = None) -> Tensor:
        """What goes into the head: (B, T, D). With a `cache`, of tokens that follow those read into it."""
        if batch.source is not None:
            raise UserError("The batch has a source, which a decoder alone does not read: train an encoder_decoder.")
        places = None if cache is None else self.placed(batch, cache)
        x_BTD = self.embed(batch.inputs, batch.documents, batch.segments, places)
        x_BTD = self.run_layers(x_BTD, documents=batch.documents, prefix=batch.prefix, cache=cache)
        return self.of_tokens(x_BTD, batch.inputs.shape[1])
