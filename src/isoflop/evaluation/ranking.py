"""How good a ranking of documents is: nDCG@k, recall@k and the mean reciprocal rank.

Documents with equal scores stand in no order, so a figure is its mean over all orders of them (McSherry & Najork 2008,
doi 10.1007/978-3-540-78646-7_38): a model that gives all documents the same score gets what chance gets, wherever the
relevant ones stand in the file. N documents, R relevant ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import UserError

DEPTH = 10
RECALL_DEPTHS = (10, 100)


@dataclass(frozen=True)
class QueryScores:
    """One query: nDCG@k, recall at each depth, and the reciprocal rank of the first relevant document."""

    ndcg: float
    recall: Mapping[int, float]
    reciprocal_rank: float


@dataclass(frozen=True)
class RankingScores:
    """Means over the queries that have a relevant document; `unanswerable` have none and are not counted.

    `ndcg` is at `depth`, `recall` by depth; `queries` has each counted query's own figures by its number, for intervals
    and paired tests.
    """

    depth: int
    ndcg: float
    recall: Mapping[int, float]
    reciprocal_rank: float
    unanswerable: int
    queries: Mapping[int, QueryScores]

    def to_dict(self) -> dict[str, Any]:
        """The means and counts as plain values."""
        return {
            f"ndcg@{self.depth}": self.ndcg,
            **{f"recall@{depth}": share for depth, share in self.recall.items()},
            "mrr": self.reciprocal_rank,
            "queries": len(self.queries),
            "queries_without_relevant_documents": self.unanswerable,
        }


def ranking_scores(
    scores_QN: Iterable[ArrayLike],
    grades: Sequence[Mapping[int, float]],
    *,
    depth: int = DEPTH,
    recall_depths: Sequence[int] = RECALL_DEPTHS,
) -> RankingScores:
    """Score each query's row of documents' scores (higher is nearer) against its `grades` by the document's number.

    Raises `UserError` where no query has a relevant document.
    """
    queries = {}
    for number, (scores_N, graded) in enumerate(zip(scores_QN, grades, strict=True)):
        if any(grade > 0 for grade in graded.values()):
            queries[number] = query_scores(scores_N, graded, depth=depth, recall_depths=recall_depths)
    if not queries:
        raise UserError("No query has a relevant document: grades above 0 are needed to measure a ranking.")
    every = list(queries.values())
    return RankingScores(
        depth=depth,
        ndcg=float(np.mean([one.ndcg for one in every])),
        recall={k: float(np.mean([one.recall[k] for one in every])) for k in recall_depths},
        reciprocal_rank=float(np.mean([one.reciprocal_rank for one in every])),
        unanswerable=len(grades) - len(queries),
        queries=queries,
    )


def query_scores(
    scores_N: ArrayLike,
    grades: Mapping[int, float],
    *,
    depth: int = DEPTH,
    recall_depths: Sequence[int] = RECALL_DEPTHS,
) -> QueryScores:
    """Score one query's ranking; documents without a grade, and those graded 0 or less, are not relevant.

    nDCG@k is Σ_{i≤k} g_i/log₂(i+1) over the ranks i, divided by the same of the best order of all graded documents
    (Järvelin & Kekäläinen 2002, doi 10.1145/582415.582418; gains g are the grades themselves, as in TREC's trec_eval).
    Recall@k is the share of the relevant documents among the first k. Raises `ValueError` without a relevant document,
    `UserError` where a score is not a number.
    """
    score_N = np.asarray(scores_N, dtype=np.float64)
    if np.isnan(score_N).any():
        raise UserError("A document's score is not a number: the model has diverged, or its weights are damaged.")
    relevant = {document: grade for document, grade in grades.items() if grade > 0}
    if not relevant:
        raise ValueError("a query without a relevant document has no score")
    score_R = score_N[list(relevant)]
    above_R = (score_N > score_R[:, None]).sum(axis=1)
    tied_R = (score_N == score_R[:, None]).sum(axis=1)
    gain_R = np.array(list(relevant.values()), dtype=np.float64)
    discount_N = 1 / np.log2(np.arange(2, len(score_N) + 2))
    discount_N[depth:] = 0
    ideal = float(np.sort(gain_R)[::-1] @ discount_N[: len(gain_R)])
    recall = {
        k: float(_mean_over_places((np.arange(len(score_N)) < k) * 1.0, above_R, tied_R).mean()) for k in recall_depths
    }
    return QueryScores(
        ndcg=float(gain_R @ _mean_over_places(discount_N, above_R, tied_R)) / ideal,
        recall=recall,
        reciprocal_rank=_reciprocal_rank(above_R, tied_R),
    )


def _mean_over_places(
    value_N: NDArray[np.floating[Any]], above_R: NDArray[Any], tied_R: NDArray[Any]
) -> NDArray[np.float64]:
    """The mean value of the `tied` places behind the `above` first: (R,)."""
    upto = np.concatenate(([0.0], np.cumsum(value_N)))
    return (upto[above_R + tied_R] - upto[above_R]) / tied_R


def _reciprocal_rank(above_R: NDArray[Any], tied_R: NDArray[Any]) -> float:
    """The mean of 1/rank of the first relevant document over the orders of those that share its score."""
    above = int(above_R.min())
    relevant, tied = int((above_R == above).sum()), int(tied_R[above_R.argmin()])
    places = np.arange(1, tied - relevant + 2)
    now_P = relevant / (tied - places + 1)
    not_before_P = np.concatenate(([1.0], np.cumprod(1 - now_P)[:-1]))
    return float((not_before_P * now_P / (above + places)).sum())
