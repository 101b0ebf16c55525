"""DiLoCo on four processes: workers agree after each meeting, and come near DDP with a tenth of the numbers sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from isoflop.errors import UserError
from isoflop.parallel.diloco import DiLoCo, OuterStep
from parallel.world import TESTS, free_port

MARGIN_NATS = 0.1
"""How much worse than DDP the small run may be, at the same tokens."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("diloco")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)]),
        "WORLD_SIZE": "4",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(TESTS / "parallel" / "diloco_worker.py"), str(folder)]
    running = [subprocess.Popen(command, env={**environment, "RANK": str(rank)}) for rank in range(4)]
    assert [process.wait(timeout=900) for process in running] == [0] * 4
    return json.loads((folder / "found.json").read_text())


@pytest.mark.slow
def test_workers_part_between_meetings_and_are_identical_after_each(found: dict[str, Any]) -> None:
    assert len(found["spreads"]) == found["meetings"] == 20
    assert all(before > 1e-4 and after == 0.0 for before, after in found["spreads"])


@pytest.mark.slow
def test_meeting_every_step_without_an_outer_optimiser_averages_the_weights(found: dict[str, Any]) -> None:
    assert found["mean"] < 1e-6


@pytest.mark.slow
def test_with_plain_sgd_that_is_one_process_on_the_whole_batch(found: dict[str, Any]) -> None:
    """w - mean(w - w_k) = mean(w - η·g_k) = w - η·mean(g_k), and the mean of equal shares' gradients is the batch's."""
    assert found["one process"] < 1e-6


@pytest.mark.slow
def test_it_comes_near_ddp_with_a_tenth_of_the_communication(found: dict[str, Any]) -> None:
    assert found["ddp"] < found["first"] - 1.0
    assert found["diloco"] < found["ddp"] + MARGIN_NATS, found
    assert found["ddp sent"] == 10 * found["diloco sent"]


def test_the_outer_step_is_nesterovs_and_its_state_goes_on(world_of_one: None) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    outer = OuterStep([weight], DiLoCo(every=1, lr=0.7, momentum=0.9))
    shared, velocity = 0.0, 0.0
    for moved in (1.0, -0.5, 2.0):
        with torch.no_grad():
            weight += moved
        velocity = 0.9 * velocity - moved
        shared -= 0.7 * (-moved + 0.9 * velocity)
        outer.step()
        assert weight.item() == pytest.approx(shared, rel=1e-6)
        again = OuterStep([weight], DiLoCo(every=1, lr=0.7, momentum=0.9))
        again.load(outer.state())
        outer = again


@pytest.mark.parametrize("wrong", [{"every": 0}, {"lr": 0.0}, {"momentum": 1.0}])
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"machine\.diloco"):
        DiLoCo(**wrong)
