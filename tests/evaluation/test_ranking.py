"""Scores of a ranking: against figures worked out by hand, all orders of ties, and scikit-learn."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from isoflop.errors import UserError
from isoflop.evaluation.ranking import query_scores, ranking_scores

LOG3 = math.log2(3)


def test_a_ranking_of_five_documents_scores_what_was_worked_out_by_hand() -> None:
    # ranks: document 3 (grade 1), 0 (0), 4 (grade 2), 1, 2 (grade 1)
    scores = query_scores([0.8, 0.6, 0.5, 0.9, 0.7], {3: 1, 4: 2, 2: 1, 0: 0}, depth=3, recall_depths=(1, 3))
    assert scores.ndcg == pytest.approx((1 + 2 / 2) / (2 + 1 / LOG3 + 1 / 2))
    assert scores.recall == {1: pytest.approx(1 / 3), 3: pytest.approx(2 / 3)}
    assert scores.reciprocal_rank == 1


def test_the_best_order_scores_one_and_one_out_of_reach_zero() -> None:
    assert query_scores([3, 2, 1, 0], {0: 3, 1: 1}, depth=2).ndcg == pytest.approx(1)
    last = query_scores([3, 2, 1, 0], {3: 1}, depth=2, recall_depths=(2,))
    assert (last.ndcg, last.recall[2], last.reciprocal_rank) == (0, 0, 1 / 4)


def test_a_model_that_cannot_tell_documents_apart_gets_what_chance_gets() -> None:
    first = query_scores(np.zeros(1000), {0: 1}, recall_depths=(10,))
    assert first == query_scores(np.zeros(1000), {999: 1}, recall_depths=(10,))
    assert first.recall[10] == pytest.approx(10 / 1000)
    assert first.reciprocal_rank == pytest.approx(np.mean(1 / np.arange(1, 1001)))


def test_ties_are_the_mean_over_all_orders() -> None:
    draw = np.random.default_rng(0)
    for _ in range(8):
        scores = draw.integers(0, 3, 5).astype(float)
        grades = {int(one): float(draw.integers(1, 4)) for one in draw.choice(5, 3, replace=False)}
        found = query_scores(scores, grades, depth=3, recall_depths=(2,))
        # Every order of equal documents is as likely: add each permutation as an amount too small to reorder others.
        every = [
            query_scores(scores + 1e-3 * np.array(order), grades, depth=3, recall_depths=(2,))
            for order in itertools.permutations(range(5))
        ]
        assert found.ndcg == pytest.approx(np.mean([one.ndcg for one in every]))
        assert found.recall[2] == pytest.approx(np.mean([one.recall[2] for one in every]))
        assert found.reciprocal_rank == pytest.approx(np.mean([one.reciprocal_rank for one in every]))


def test_ndcg_equals_that_of_scikit_learn_with_and_without_ties() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(1)
    for scores in (draw.normal(size=(5, 40)), draw.integers(0, 4, (5, 40)).astype(float)):
        grades = draw.choice(4, p=(0.7, 0.1, 0.1, 0.1), size=(5, 40))
        found = ranking_scores(scores, [dict(enumerate(map(int, row))) for row in grades])
        assert found.ndcg == pytest.approx(metrics.ndcg_score(grades, scores, k=10))


def test_grades_below_zero_are_not_relevant() -> None:
    """TREC's files have −1 for what a judge would rather not see."""
    graded = query_scores([3, 2, 1], {0: -1, 1: 1})
    assert graded == query_scores([3, 2, 1], {1: 1})


def test_queries_without_a_relevant_document_are_counted_apart() -> None:
    found = ranking_scores([[2, 1], [1, 2], [1, 2]], [{0: 1}, {0: 0}, {}])
    assert (found.ndcg, found.unanswerable, list(found.queries)) == (1, 2, [0])
    with pytest.raises(UserError, match="No query has a relevant document"):
        ranking_scores([[1, 2]], [{}])


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match="not a number"):
        query_scores([1, math.nan], {0: 1})
