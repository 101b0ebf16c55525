"""A training takes the threads that its steps can use."""

from __future__ import annotations

from isoflop.training.processor import SHORT_STEP, threads_for


def test_short_steps_take_one_thread_and_others_all() -> None:
    assert threads_for(SHORT_STEP / 2, 8) == 1
    assert threads_for(SHORT_STEP * 2, 8) == 8
