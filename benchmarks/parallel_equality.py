"""How far each layout's training is from one process, and from one that never stopped where it was saved and resumed.

    python benchmarks/parallel_equality.py

Five steps in fp32 on gloo; the layouts are those of tests/parallel/layouts.py and tests/parallel/resuming.py. Columns
are the worst differences of a loss (every step's, and afterwards that of a batch and of each of its sequences), of a
gradient norm and of a weight.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "src"), str(PROJECT / "tests")]

import torch  # noqa: E402

from parallel.layouts import LAYOUTS, TOLERANCE, Outcome, alone  # noqa: E402
from parallel.resuming import RESUMING, SAVED_AT, SAVING, SAVING_TIED, saver_of  # noqa: E402
from parallel.world import run_world  # noqa: E402

WORLDS = (SAVING.mesh.world, *(world for world in RESUMING if world != SAVING.mesh.world))
"""The first one saves, and the others go on."""
Apart = tuple[str, int, tuple[float, float, float]]


def main() -> int:
    """Print both tables; 1 where something is 1e-5 or more apart."""
    torch.set_num_threads(1)
    trained: dict[str, Outcome] = {}
    continued: dict[tuple[str, int], Outcome] = {}
    with tempfile.TemporaryDirectory() as folder:
        for world in WORLDS:
            run_world(world, folder, "all", timeout=1800)
            whole, resumed = torch.load(Path(folder) / f"{world}.pt", weights_only=False)
            trained |= whole
            continued |= {(name, world): outcome for name, outcome in resumed.items()}
    equal = _table("layout", _layouts(trained))
    print(f"\nSaved after step {SAVED_AT} by {SAVING.name} (of a tied model by {SAVING_TIED.name}):\n")
    return int(not (_table("continued by", _continued(continued)) and equal))


def _layouts(trained: dict[str, Outcome]) -> Iterator[Apart]:
    for layout in LAYOUTS:
        yield layout.name, layout.mesh.world, trained[layout.name].furthest(alone(layout))


def _continued(resumed: dict[tuple[str, int], Outcome]) -> Iterator[Apart]:
    for world, layouts in RESUMING.items():
        for layout in layouts:
            yield layout.name, world, resumed[layout.name, world].furthest(alone(saver_of(layout)))


def _table(what: str, rows: Iterator[Apart]) -> bool:
    """Print it; whether all is equal."""
    print(f"| {what} | processes | loss | gradient norm | weights |")
    print("| --- | --- | --- | --- | --- |")
    furthest = 0.0
    for name, world, apart in rows:
        furthest = max(furthest, *apart)
        print(f"| {name} | {world} | " + " | ".join(f"{value:.1e}" for value in apart) + " |", flush=True)
    return furthest < TOLERANCE


if __name__ == "__main__":
    sys.exit(main())
