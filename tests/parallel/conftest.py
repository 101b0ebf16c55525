"""Worlds of 2, 4 and 8 processes, each started once in a session for all the checks that need it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from parallel.layouts import Outcome
from parallel.world import run_world


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], dict[str, Outcome]]:
    """`trained(world)`: what every layout of so many processes came to, as the first process saw it."""
    worlds: dict[int, dict[str, Outcome]] = {}

    def outcomes(world: int) -> dict[str, Outcome]:
        if world not in worlds:
            worlds[world] = {}  # a world that failed is not started again for each check
            folder: Path = tmp_path_factory.mktemp(f"world-{world}")
            run_world(world, folder)
            worlds[world] = torch.load(folder / f"{world}-0.pt", weights_only=False)
        return worlds[world]

    return outcomes
