"""Training an embedder: a query is to be nearer to its own document than to all others of the batch.

B pairs, C documents of a pair (1, with hard negatives 2), T tokens of a query, S tokens of a document, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from isoflop.adaptation.batches import padded
from isoflop.adaptation.classifier import Pooling
from isoflop.adaptation.pretrained import Tokenized
from isoflop.adaptation.retrieval.embedder import batch_vectors
from isoflop.adaptation.task_model import TaskModel
from isoflop.models import Batch, Model


@dataclass(frozen=True)
class Pairs:
    """Queries and documents by number, and which belong together: the pairs that are trained on.

    `pairs` are (query, document); `negatives` has a document for each pair that its query should not find, or is empty.
    """

    queries: Tokenized
    documents: Tokenized
    pairs: Sequence[tuple[int, int]]
    negatives: Sequence[int]

    @property
    def tokens(self) -> int:
        """Tokens that an epoch reads."""
        read = [*(document for _, document in self.pairs), *self.negatives]
        queries = sum(len(self.queries.sequences[query]) for query, _ in self.pairs)
        return queries + sum(len(self.documents.sequences[document]) for document in read)


@final
class BiEncoder(TaskModel):
    """One model for queries and documents; its loss is that of in-batch negatives.

    −log e^{q·d⁺/τ} / Σ_d e^{q·d/τ}, where d runs over the batch's documents and hard negatives, without others that are
    known to belong to the query: InfoNCE (van den Oord et al. 2018, arXiv 1807.03748, equation 4) with the negatives of
    Karpukhin et al. 2020, arXiv 2004.04906, section 3.2. q and d have length 1, and τ is the temperature.

    With `parts` the texts of a batch pass through the model so many at a time, and once more on the way back, so that
    memory holds one part's states; every query still has the whole batch's documents (Gao et al. 2021, arXiv
    2101.06983, which keeps gradients where states are computed anew here).
    """

    body: Model
    known: Tensor

    divides_itself = True

    def __init__(self, body: Model, pairs: Pairs, *, pooling: Pooling, temperature: float, parts: int = 1) -> None:
        super().__init__()
        self.body, self.pooling, self.temperature, self.parts = body, pooling, temperature, parts
        self.documents = len(pairs.documents)
        known = sorted({query * self.documents + document for query, document in pairs.pairs})
        self.register_buffer("known", torch.tensor(known), persistent=False)

    def loss(self, batch: Batch) -> Tensor:
        """The mean over the batch's queries in nats; the batch is one of `PairBatches`."""
        assert batch.source is not None
        assert batch.source_documents is not None
        assert batch.order is not None
        count, choices = batch.targets.shape
        q_BD = self._vectors(Batch(batch.inputs, batch.inputs, batch.documents))
        sources, targets = (x.unflatten(1, (choices, -1)) for x in (batch.source, batch.source_documents))
        read_MS = sources.transpose(0, 1).flatten(0, 1)
        d_MD = self._vectors(
            Batch(read_MS, read_MS, targets.transpose(0, 1).flatten(0, 1))
        )  # first the pairs' own documents, then the negatives
        scores_BM = q_BD @ d_MD.T / self.temperature
        pair_BM = batch.order[:, None] * self.documents + batch.targets.T.flatten()
        own_B = torch.arange(count, device=scores_BM.device)
        answers_BM = torch.isin(pair_BM, self.known)
        answers_BM[own_B, own_B] = False
        return F.cross_entropy(scores_BM.masked_fill(answers_BM, -torch.inf), own_B)

    def _vectors(self, batch: Batch) -> Tensor:
        """Vectors of length 1 of a batch's texts."""
        if self.parts == 1:
            return batch_vectors(self.body, batch, self.pooling)
        some = batch.split(math.ceil(len(batch.inputs) / self.parts))
        made = [checkpoint(batch_vectors, self.body, one.trimmed(), self.pooling, use_reentrant=False) for one in some]
        return torch.cat(made)


@dataclass(frozen=True)
class PairBatches:
    """Batches of `batch` pairs, each epoch in an order of its own.

    `inputs` are queries and `order` their numbers; `source` is a pair's documents side by side, each filled up to the
    longest, and `targets` their numbers (B, C).
    """

    pairs: Pairs
    batch: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """Steps in which every pair is seen once."""
        return math.ceil(len(self.pairs.pairs) / self.batch)

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.pairs.pairs))
        chosen = order[place * self.batch : (place + 1) * self.batch]
        pairs = [self.pairs.pairs[at] for at in chosen]
        numbers = [[document] for _, document in pairs]
        if self.pairs.negatives:
            numbers = [[*own, self.pairs.negatives[at]] for own, at in zip(numbers, chosen, strict=True)]
        queries = padded([self.pairs.queries.sequences[query] for query, _ in pairs])
        documents = padded([self.pairs.documents.sequences[one] for row in numbers for one in row])
        mask = torch.ones_like(documents.inputs) if documents.documents is None else documents.documents
        return Batch(
            queries.inputs,
            torch.tensor(numbers),
            queries.documents,
            order=torch.tensor([query for query, _ in pairs]),
            source=documents.inputs.view(len(pairs), -1),
            source_documents=mask.view(len(pairs), -1),
        )
