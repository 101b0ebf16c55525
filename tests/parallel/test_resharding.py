"""What one layout saved, any other continues to the same losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from isoflop.parallel import Mesh
from parallel.layouts import CLIP, Layout, RandomBatches, a_model, an_optimizer
from parallel.resuming import LAST, RESUMING, SAVING, resume

TOLERANCE = 1e-5
Continued = Callable[[int], tuple[object, dict[str, list[float]]]]


@pytest.fixture(scope="module")
def uninterrupted() -> list[float]:
    """The losses of one process that never stopped."""
    torch.set_num_threads(1)
    model, rules = a_model(SAVING)
    optimizer, losses = an_optimizer(model, rules, SAVING.shape), []
    for step in range(LAST):
        batch = RandomBatches(SAVING.shape).at(step)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(batch).flatten(0, 1), batch.targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("world", [4, 2, pytest.param(8, marks=pytest.mark.slow)])
def test_four_processes_saved_and_any_layout_goes_on(
    world: int, results: Continued, uninterrupted: list[float]
) -> None:
    _, found = results(world)
    assert {layout.name for layout in RESUMING[world]} <= set(found)
    for name, losses in found.items():
        assert losses == pytest.approx(uninterrupted, abs=TOLERANCE), name


def test_one_process_goes_on_too(
    results: Continued, saved: Path, uninterrupted: list[float], world_of_one: None
) -> None:
    results(4)
    assert resume(Layout("one process", Mesh()), saved) == pytest.approx(uninterrupted, abs=TOLERANCE)
