"""What one layout saved, any other continues to the same losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from parallel.layouts import CLIP, RandomBatches, a_model, an_optimizer
from parallel.resuming import LAST, RESUMING, SAVING
from parallel.world import run_world

TOLERANCE = 1e-5
Continued = Callable[[int], dict[str, list[float]]]


@pytest.fixture(scope="module")
def continued(tmp_path_factory: pytest.TempPathFactory) -> Continued:
    """`continued(world)`: the losses of each layout of so many processes, of what four processes saved."""
    folder: Path = tmp_path_factory.mktemp("checkpoints")
    run_world(4, folder, "save", script="resuming.py")

    def losses(world: int) -> dict[str, list[float]]:
        path = folder / f"{world}.pt"
        if not path.exists():
            run_world(world, folder, "resume", script="resuming.py")
        return torch.load(path, weights_only=True)

    return losses


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


@pytest.mark.parametrize("world", [4, 2, 1, pytest.param(8, marks=pytest.mark.slow)])
def test_four_processes_saved_and_any_layout_goes_on(
    world: int, continued: Continued, uninterrupted: list[float]
) -> None:
    found = continued(world)
    assert {layout.name for layout in RESUMING[world]} <= set(found)
    for name, losses in found.items():
        assert losses == pytest.approx(uninterrupted, abs=TOLERANCE), name
