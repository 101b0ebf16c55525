"""Scores of a classifier: against figures worked out by hand, and against scikit-learn where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from isoflop.evaluation.classification import calibration_error, classification_measures, classification_scores
from isoflop.evaluation.intervals import Resampling


def test_scores_of_five_texts_are_those_worked_out_by_hand() -> None:
    p = [[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8], [0.45, 0.55]]
    scores = classification_scores(p, [0, 1, 1, 1, 0], labels=("no", "yes"))
    assert scores.confusion == ((1, 1), (1, 2))
    assert scores.accuracy == pytest.approx(3 / 5)
    assert scores.labels[1].precision == pytest.approx(2 / 3)
    assert scores.labels[1].recall == pytest.approx(2 / 3)
    assert scores.macro_f1 == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores.nats == pytest.approx(-np.log([0.9, 0.4, 0.7, 0.8, 0.45]).mean())
    # each in a bin of its own: |1-.9| + |0-.6| + |1-.7| + |1-.8| + |0-.55|, over 5
    assert scores.calibration_error == pytest.approx(1.75 / 5)


def test_calibration_error_adds_up_within_a_bin() -> None:
    right = np.array([True, True, True, False])
    assert calibration_error(np.full(4, 0.75), right) == pytest.approx(0)
    assert calibration_error(np.full(4, 1.0), right) == pytest.approx(0.25)


def test_a_label_that_is_never_taken_or_there_scores_zero() -> None:
    scores = classification_scores([[0.8, 0.1, 0.1]] * 2, [0, 1], labels=("a", "b", "c"))
    assert [one.f1 for one in scores.labels] == [pytest.approx(2 / 3), 0, 0]


def test_scores_equal_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    p, answers = draw.dirichlet(np.ones(4), 300), draw.integers(0, 4, 300)
    scores = classification_scores(p, answers, labels=tuple("abcd"))
    guess = p.argmax(axis=1)
    for average, ours in (
        ("macro", (scores.macro_precision, scores.macro_recall, scores.macro_f1)),
        ("micro", (scores.micro_precision, scores.micro_recall, scores.micro_f1)),
    ):
        theirs = metrics.precision_recall_fscore_support(answers, guess, average=average)[:3]
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert np.array_equal(scores.confusion, metrics.confusion_matrix(answers, guess))
    assert scores.nats == pytest.approx(metrics.log_loss(answers, p))


@pytest.mark.parametrize("absent", [False, True])
def test_figures_made_of_means_over_texts_are_the_scores(absent: bool) -> None:
    draw = np.random.default_rng(1)
    p, answers = draw.dirichlet(np.ones(3), 200), draw.integers(0, 2 if absent else 3, 200)
    if absent:  # nobody has the third label, and nobody is taken for it
        p[:, 2] = 0
    scores = classification_scores(p, answers, labels=tuple("abc"))
    measures = classification_measures(p, answers)
    found = {name: one.interval(Resampling(draws=200)) for name, one in measures.items()}
    for name, figure in {**scores.figures, "nats": scores.nats}.items():
        if np.isfinite(figure) and figure < 100:
            assert found[name].value == pytest.approx(figure, rel=1e-9), name
            assert found[name].low < figure < found[name].high
