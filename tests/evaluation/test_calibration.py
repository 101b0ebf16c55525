"""A temperature undoes what made odds dishonest, changes no label, and bins of reliability add up to the ECE."""

from __future__ import annotations

import numpy as np
import pytest

from isoflop.evaluation.calibration import fit_temperature, reliability, with_temperature
from isoflop.evaluation.classification import calibration_error, classification_scores


def honest(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and answers that are drawn from them."""
    draw = np.random.default_rng(seed)
    p = draw.dirichlet(np.full(4, 0.5), count)
    return p, np.array([draw.choice(4, p=row) for row in p])


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_spoiled_odds_is_found(temperature: float) -> None:
    p, answers = honest(4_000, 0)
    spoiled = with_temperature(p, 1 / temperature)
    assert fit_temperature(spoiled, answers) == pytest.approx(temperature, rel=0.06)


def test_what_is_fitted_on_one_part_helps_on_another_and_changes_no_label() -> None:
    p, answers = honest(3_000, 1)
    sure = with_temperature(p, 0.4)
    temperature = fit_temperature(sure[:1_500], answers[:1_500])
    mended = with_temperature(sure[1_500:], temperature)
    before, after = (
        classification_scores(one, answers[1_500:], labels=tuple("abcd")) for one in (sure[1_500:], mended)
    )
    assert after.calibration_error < before.calibration_error / 2
    assert after.nats < before.nats
    assert after.accuracy == before.accuracy


def test_odds_of_a_temperature_are_those_of_divided_logits() -> None:
    logits = np.random.default_rng(2).normal(size=(5, 3)) * 3
    softmax = [np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in (logits, logits / 1.7)]
    np.testing.assert_allclose(with_temperature(softmax[0], 1.7), softmax[1], rtol=1e-12)


def test_odds_that_are_always_right_stay_finite() -> None:
    p, answers = np.array([[0.9, 0.1], [0.2, 0.8], [1.0, 0.0]]), np.array([0, 1, 0])
    assert 0.05 <= fit_temperature(p, answers) <= 20
    assert np.isfinite(with_temperature(p, 0.05)).all()


def test_bins_add_up_to_the_calibration_error() -> None:
    p, answers = honest(500, 3)
    bins = reliability(p, answers)
    assert sum(one.examples for one in bins) == 500
    error = sum(one.examples / 500 * abs(one.accuracy - one.confidence) for one in bins)
    assert error == pytest.approx(calibration_error(p.max(axis=1), p.argmax(axis=1) == answers))
    assert all(one.low < one.confidence <= one.high for one in bins)
