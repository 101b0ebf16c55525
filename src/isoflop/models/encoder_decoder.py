"""An encoder-decoder: a decoder that also attends to what an encoder read.

B batch, T tokens of the target, S tokens of the source, D width.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from isoflop.errors import UserError
from isoflop.models.batch import Batch
from isoflop.models.cache import Cache
from isoflop.models.layers import Layers
from isoflop.models.masks import cross_view
from isoflop.models.model import Model
from isoflop.shapes import ModelShape


@final
class Side(Layers):
    """One of the two stacks."""

    def __init__(self, shape: ModelShape, logit_scale: float, *, decodes: bool) -> None:
        super().__init__()
        self.shape = shape
        self.add_layers(shape, logit_scale, causal=decodes, crossed=decodes)


@final
class EncoderDecoder(Model):
    """A batch's source (B, S) and inputs (B, T) to logits (B, T, V), by tables that both stacks share."""

    def __init__(self, shape: ModelShape, *, logit_scale: float) -> None:
        super().__init__(shape)
        self.encoder = Side(shape, logit_scale, decodes=False)
        self.decoder = Side(shape, logit_scale, decodes=True)
        self.add_head()

    def features(self, batch: Batch, cache: Cache | None = None) -> Tensor:
        """What goes into the head: (B, T, D). With a `cache`, of tokens that follow those read into it; the source is
        read with the first of them."""
        if cache is None:
            memory_BSD, source_documents = self.encode(batch)
            places = None
        else:
            if cache.memory_BSD is None:
                cache.memory_BSD, cache.source_documents = self.encode(batch)
            memory_BSD, source_documents = cache.memory_BSD, cache.source_documents
            places = self.placed(batch, cache)
        memory = memory_BSD, cross_view(batch.documents, source_documents)
        x_BTD = self.embed(batch.inputs, batch.documents, batch.segments, places)
        return self.decoder.run_layers(
            x_BTD, documents=batch.documents, prefix=batch.prefix, memory=memory, cache=cache
        )

    def encode(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """What the decoder attends to (B, S, D), and its document numbers; a prompt stands before the source."""
        if batch.source is None:
            raise UserError("An encoder-decoder needs a batch with a source: choose an objective that makes one.")
        x_BSD = self.embed(batch.source, batch.source_documents)
        memory_BSD, prompt = self.encoder.run_layers(x_BSD, documents=batch.source_documents), self.encoder.prompt
        return memory_BSD, batch.source_documents if prompt is None else prompt.before(batch.source_documents)
