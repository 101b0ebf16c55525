"""A model that makes one vector of a text: queries and documents by the same model, near where they belong together.

N texts, D width, Q queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from isoflop.adaptation.batches import alike_of, padded
from isoflop.adaptation.classifier import Pooling, pooling_for, text_vectors
from isoflop.adaptation.pretrained import Tokenized, read_pretrained, tokenize
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.saved import TASK, check_filled, load_adapted
from isoflop.errors import UserError
from isoflop.models import Batch, Model

EMBEDDING_POOLINGS: tuple[Pooling, ...] = ("mean", "first", "last")
"""A pooler was trained to tell pairs of sentences apart, and its values lie between -1 and 1."""


@dataclass(frozen=True)
class Embedder:
    """A pretrained model whose pooled states, scaled to length 1, are texts' vectors; a score is their cosine."""

    body: Model
    tokenizer: Tokenizer
    pooling: Pooling
    longest: int
    inputs = ("text",)

    def vectors(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], int]:
        """The texts' vectors (N, D), and how many texts were cut behind `longest` tokens; of an empty text a zero."""
        full = [number for number, text in enumerate(texts) if text.strip()]
        tokens = tokenize(self.tokenizer, [texts[number] for number in full], longest=self.longest)
        found = np.zeros((len(texts), self.body.shape.width), dtype=np.float32)
        found[full] = token_vectors(self.body, tokens, self.pooling)
        return found, tokens.cut

    def rows(self, examples: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """What `isoflop predict-text` prints: the vector's numbers with spaces between, and the text."""
        check_filled(examples)
        texts = [text for (text,) in examples]
        vectors = self.vectors(texts)[0]
        return [(" ".join(f"{x:.6f}" for x in vector), text) for vector, text in zip(vectors, texts, strict=True)]


def read_embedder(folder: Path, *, pooling: str | None = None, longest: int | None = None) -> Embedder:
    """The embedder in `folder`, or another model in it as one.

    What is not asked for is as an embedder was trained; of another model an encoder's mean, a decoder's last token, and
    the whole context. Raises `UserError` where there is no model or no tokenizer that fits it, for a pooling that is
    not known and for texts longer than the context.
    """
    if pooling is not None and pooling not in EMBEDDING_POOLINGS:
        raise UserError(f"--pooling is {pooling!r}: choose {', '.join(EMBEDDING_POOLINGS)}.")
    made = _trained(folder)
    if made is None:
        found = read_pretrained(folder)
        made = Embedder(found.model, found.tokenizer, pooling_for(found.model, None), found.model.shape.context)
    chosen = next((one for one in EMBEDDING_POOLINGS if one == pooling), made.pooling)
    within = made.longest if longest is None else Recipe(longest=longest).tokens_of(made.body.shape.context)
    return Embedder(made.body, made.tokenizer, chosen, within)


def _trained(folder: Path) -> Embedder | None:
    """What was trained to embed, if that is in `folder`."""
    if not any((place / TASK).exists() for place in (folder, folder / "model")):
        return None
    found = load_adapted(folder)
    return found if isinstance(found, Embedder) else None


@torch.no_grad()
def token_vectors(body: Model, texts: Tokenized, pooling: Pooling) -> NDArray[np.float32]:
    """Vectors of length 1: (N, D), in float32, without dropout. Texts of like length share a batch."""
    was_training, device = body.training, body.embedding.weight.device
    body.eval()
    found = np.empty((len(texts), body.shape.width), dtype=np.float32)
    for chosen in alike_of(texts.sequences):
        batch = padded([texts.sequences[at] for at in chosen]).to(device)
        found[chosen] = batch_vectors(body, batch, pooling).cpu().numpy()
    body.train(was_training)
    return found


def batch_vectors(body: Model, batch: Batch, pooling: Pooling) -> Tensor:
    """Vectors of length 1 of a batch's texts: (B, D)."""
    return F.normalize(text_vectors(body, batch, pooling).float(), dim=-1)
