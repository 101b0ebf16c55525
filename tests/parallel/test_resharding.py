"""What one layout saved, any other continues to the same losses, gradient norms and weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from parallel.layouts import TOLERANCE, Outcome, alone
from parallel.resuming import AGAIN, ONE, RESUMING, SAVING, resume, saver_of

Continued = Callable[[int], tuple[object, dict[str, Outcome]]]


@pytest.mark.parametrize("world", [4, 2, pytest.param(8, marks=pytest.mark.slow)])
def test_four_processes_saved_and_any_layout_goes_on(world: int, results: Continued) -> None:
    torch.set_num_threads(1)
    _, found = results(world)
    for layout in RESUMING[world]:
        assert max(found[layout.name].furthest(alone(saver_of(layout)))) < TOLERANCE, layout.name


def test_one_process_goes_on_too(results: Continued, saved: Path, world_of_one: None) -> None:
    results(4)
    assert max(resume(ONE, saved).furthest(alone(SAVING))) < TOLERANCE


def test_the_same_layout_goes_on_bit_for_bit(results: Continued) -> None:
    _, found = results(4)
    assert found[AGAIN.name].furthest(found[SAVING.name]) == (0.0, 0.0, 0.0)
