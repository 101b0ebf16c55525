"""How far each layout's training is from one process: worst difference in loss, gradient norm and weights.

    python benchmarks/parallel_equality.py [--worlds 2 4 8]

Five steps in fp32 on gloo; the layouts are those of tests/parallel/layouts.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "src"), str(PROJECT / "tests")]

import torch  # noqa: E402

from parallel.layouts import LAYOUTS, TOLERANCE, alone  # noqa: E402
from parallel.world import run_world  # noqa: E402


def main() -> int:
    """Print the table; 1 where a layout is further away than 1e-5."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, nargs="+", default=[2, 4, 8])
    worlds = parser.parse_args().worlds
    torch.set_num_threads(1)
    unequal = 0
    print("| layout | processes | loss | gradient norm | weights |")
    print("| --- | --- | --- | --- | --- |")
    for world in worlds:
        with tempfile.TemporaryDirectory() as folder:
            run_world(world, folder, "train", timeout=900)
            trained, _ = torch.load(Path(folder) / f"{world}.pt", weights_only=False)
        for layout in (layout for layout in LAYOUTS if layout.mesh.world == world):
            apart = trained[layout.name].furthest(alone(layout))
            unequal += max(apart) >= TOLERANCE
            print(f"| {layout.name} | {world} | " + " | ".join(f"{value:.1e}" for value in apart) + " |", flush=True)
    return int(unequal > 0)


if __name__ == "__main__":
    sys.exit(main())
