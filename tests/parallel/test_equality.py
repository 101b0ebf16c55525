"""Every layout trains as one process does: the same losses, gradient norms and weights after five steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from parallel.layouts import COMPILED, LAYOUTS, TOLERANCE, Layout, Outcome, alone
from parallel.world import run_world

Worlds = Callable[[int], tuple[dict[str, Outcome], object]]
SMALL = [layout for layout in LAYOUTS if layout.mesh.world < 8]
LARGE = [layout for layout in LAYOUTS if layout.mesh.world == 8]


@pytest.mark.parametrize("layout", SMALL, ids=lambda layout: layout.name)
def test_a_layout_of_up_to_four_processes_equals_one(layout: Layout, results: Worlds) -> None:
    equals_one_process(layout, results)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LARGE, ids=lambda layout: layout.name)
def test_a_layout_of_eight_processes_equals_one(layout: Layout, results: Worlds) -> None:
    equals_one_process(layout, results)


@pytest.mark.slow
def test_compiled_layouts_equal_one_process(tmp_path: Path) -> None:
    run_world(2, tmp_path, "compiled")
    outcomes = torch.load(tmp_path / "2.pt", weights_only=False)
    for layout in COMPILED:
        equals_one_process(layout, lambda _world: outcomes)


def equals_one_process(layout: Layout, results: Worlds) -> None:
    torch.set_num_threads(1)
    expected, found = alone(layout), results(layout.mesh.world)[0][layout.name]
    assert found.weights.keys() == expected.weights.keys()
    assert max(found.furthest(expected)) < TOLERANCE
    assert expected.losses[0] != expected.losses[-1]
    assert max(expected.norms) > 0.5, "clipping was not put to the test"
