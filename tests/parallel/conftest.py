"""Worlds of 2, 4 and 8 processes, each started once in a session for all the checks that need it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from parallel.layouts import Outcome
from parallel.world import run_world

Results = tuple[dict[str, Outcome], dict[str, Outcome]]


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which four processes leave their checkpoint."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="session")
def results(saved: Path) -> Callable[[int], Results]:
    """`results(world)`: what every layout of so many processes came to, and what those that went on came to."""
    known: dict[int, Results] = {}

    def of(world: int) -> Results:
        if world != 4:
            of(4)
        if world not in known:
            known[world] = ({}, {})  # a world that failed is not started again for each check
            run_world(world, saved, "all")
            known[world] = torch.load(saved / f"{world}.pt", weights_only=False)
        return known[world]

    return of


@pytest.fixture(scope="module")
def world_of_one() -> Iterator[None]:
    """This process as a world of its own."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()
