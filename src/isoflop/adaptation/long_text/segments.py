"""A text in segments: each is read for itself, and their vectors become one.

B texts, T tokens, S segments of L tokens, N segments of all texts, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.models import PADDING, Batch
from isoflop.models.layers import Layers
from isoflop.shapes import ModelShape

JOINS = ("mean", "max")
AT_ONCE = 64
LAYERS = 2
"""Layers of the Transformer over segments (Pappagari et al. 2019, arXiv 1910.10781, section 3.3)."""
FIRST_STD = 0.02
"""Its first weights, as BERT's: it begins near the mean of its inputs."""

Read = Callable[[Batch], Tensor]
"""Sequences to their vectors (B, D)."""


@final
class Segments(nn.Module):
    """Joins the vectors of a text's segments: their mean, their largest value in each dimension, or the mean of a small
    Transformer's states over them, which is trained with the rest.

    The mean of segments' vectors before a linear head is the mean of their logits behind it.
    """

    def __init__(self, shape: ModelShape, *, tokens: int, join: str, most: int, seed: int) -> None:
        super().__init__()
        self.tokens, self.join = tokens, join
        self.over = SegmentLayers(shape, most, seed) if join == "transformer" else None

    def forward(self, batch: Batch, read: Read) -> Tensor:
        """Texts' segments, one behind the other as `Reading.tokens` puts them, to one vector each: (B, D)."""
        if batch.inputs.shape[1] <= self.tokens:
            x_BSD = read(batch)[:, None]
            there_BS = torch.ones(x_BSD.shape[:2], dtype=torch.bool, device=x_BSD.device)
        else:
            x_BSD, there_BS = self._vectors(batch, read)
        if self.join == "max":
            return x_BSD.masked_fill(~there_BS[..., None], -torch.inf).amax(dim=1)
        if self.over is not None:
            x_BSD = self.over(x_BSD, there_BS)
        return (x_BSD * there_BS[..., None]).sum(dim=1) / there_BS.sum(dim=1, keepdim=True)

    def _vectors(self, batch: Batch, read: Read) -> tuple[Tensor, Tensor]:
        """Vectors of all segments (B, S, D), and which of them there are (B, S)."""
        count, beyond = len(batch.inputs), -batch.inputs.shape[1] % self.tokens
        documents = torch.full_like(batch.inputs, PADDING + 1) if batch.documents is None else batch.documents
        inputs_NL = F.pad(batch.inputs, (0, beyond)).view(-1, self.tokens)
        documents_NL = F.pad(documents, (0, beyond), value=PADDING).view(-1, self.tokens)
        length_N = (documents_NL != PADDING).sum(dim=1)
        places, vectors = [], []
        for chosen in groups(length_N, self.tokens):
            longest = int(length_N[chosen].max())
            full = bool((length_N[chosen] == longest).all())
            inside = None if full else documents_NL[chosen, :longest]
            places.append(chosen)
            vectors.append(read(Batch(inputs_NL[chosen, :longest], batch.targets[:1], inside)))
        x_MD = torch.cat(vectors)
        x_ND = x_MD.new_zeros(len(inputs_NL), x_MD.shape[1]).index_copy(0, torch.cat(places), x_MD)
        return x_ND.view(count, -1, x_ND.shape[1]), (length_N > 0).view(count, -1)


def groups(length_N: Tensor, tokens: int) -> Iterator[Tensor]:
    """Numbers of the segments that are read together: full ones, which need no mask, then those that texts end with."""
    for wanted_N in (length_N == tokens, (length_N > 0) & (length_N < tokens)):
        if wanted_N.any():
            yield from wanted_N.nonzero()[:, 0].split(AT_ONCE)


@final
class SegmentLayers(Layers):
    """A small Transformer over the vectors of a text's segments, (B, S, D) to (B, S, D)."""

    def __init__(self, shape: ModelShape, most: int, seed: int) -> None:
        super().__init__()
        self.shape = ModelShape(
            layers=LAYERS,
            width=shape.width,
            heads=shape.heads,
            size_per_head=shape.size_per_head,
            vocab=1,
            context=most,
            ffn=4 * shape.width,
            stack="encoder",
            norm="layer",
            biases="all",
            feed_forward="gelu",
            dropout=shape.dropout,
        )
        self.add_layers(self.shape, self.shape.head_size**-0.5, causal=False)
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=FIRST_STD, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, x_BSD: Tensor, there_BS: Tensor) -> Tensor:
        """Segments that are not there see and are seen by none."""
        return self.run_layers(x_BSD, documents=None if there_BS.all() else there_BS.long())
