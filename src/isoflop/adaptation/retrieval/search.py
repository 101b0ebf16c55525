"""Searching a collection: every document's score for every query, the best of them, and how good that is beside BM25.

N documents, Q queries, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np
from numpy.typing import NDArray

from isoflop.adaptation.retrieval.bm25 import BM25
from isoflop.adaptation.retrieval.collection import Texts
from isoflop.adaptation.retrieval.embedder import Embedder
from isoflop.errors import UserError
from isoflop.evaluation.ranking import RankingScores, ranking_scores


class Index(Protocol):
    """A collection that can be searched. `notes` are sentences for the user."""

    description: str
    notes: tuple[str, ...]

    def scores(self, queries: Sequence[str]) -> NDArray[np.float64]:
        """The score of every document for each query: (Q, N); −∞ for a document that can't be found."""
        ...


@final
class VectorIndex:
    """The vectors of all documents; a score is the cosine with the query's."""

    def __init__(self, embedder: Embedder, documents: Texts) -> None:
        self.embedder, self._empty = embedder, documents.empty
        self.vectors_ND, cut = embedder.vectors(documents.texts)
        if not np.isfinite(self.vectors_ND).all():
            raise UserError("The model's vectors are not finite: it has diverged, or its weights are damaged.")
        total, longest = len(documents), embedder.longest
        self.description = f"{embedder.pooling} of the states, cosine"
        self.notes = _empty_note(documents)
        if cut:
            beyond = f"{cut:,} of the {total:,} documents are longer than {longest} tokens: their ends were cut."
            self.notes = (*self.notes, beyond)

    def scores(self, queries: Sequence[str]) -> NDArray[np.float64]:
        found_QN = (self.embedder.vectors(queries)[0] @ self.vectors_ND.T).astype(np.float64)
        found_QN[:, self._empty] = -np.inf
        return found_QN


@final
class WordIndex:
    """BM25 over the documents' words."""

    def __init__(self, documents: Texts) -> None:
        self._ranking = BM25(documents.texts)
        self.description, self.notes = self._ranking.description, _empty_note(documents)

    def scores(self, queries: Sequence[str]) -> NDArray[np.float64]:
        found_QN = self._ranking.scores(queries)
        found_QN[found_QN == 0] = -np.inf  # no term in common
        return found_QN


@dataclass(frozen=True)
class Hit:
    """A document that a query finds, with its score."""

    document: int
    score: float


def best_hits(scores_N: NDArray[np.float64], count: int) -> list[Hit]:
    """The `count` nearest documents, best first, equal ones as in the file, without what can't be found."""
    order = np.argsort(-scores_N, kind="stable")[:count]
    return [Hit(int(number), float(scores_N[number])) for number in order if scores_N[number] > -np.inf]


def measure(index: Index, queries: Texts, grades: Sequence[Mapping[int, float]]) -> RankingScores:
    """How well `index` ranks what is relevant to the queries."""
    return ranking_scores(index.scores(queries.texts), grades)


def _empty_note(documents: Texts) -> tuple[str, ...]:
    empty = [documents.ids[number] for number in documents.empty]
    if not empty:
        return ()
    some = ", ".join(empty[:3]) + (", …" if len(empty) > 3 else "")
    are = "is" if len(empty) == 1 else "are"
    return (f"{len(empty)} of the {len(documents):,} documents {are} empty and can't be found ({some}).",)
