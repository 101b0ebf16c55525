"""What dividing costs: two processes against one with half the batch, and a checkpoint against a step.

    python benchmarks/parallel_efficiency.py [--steps 8] [--width 256] [--sequences 16]

Efficiency is the time of a step of one process over that of two with twice the batch; 1 is ideal. It is given on the
wall clock, which needs two idle cores, and on the processes' own clock, which leaves out waiting for the other one.
"apart" is two processes at once that know nothing of each other: what the cores lose to each other's memory traffic
alone, and so the ideal of this machine.

What dividing adds to a step is work on every weight (gathered, copied, reduced), whatever the number of tokens; so it
is compared at so many tokens a process and step as a training has on a device, 16 sequences of 256, where products
with tokens dominate. `--sequences 4` shows the other side.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "src"), str(PROJECT / "tests")]

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402

from isoflop.models import Batch, build_model, draw_weight, parametrization  # noqa: E402
from isoflop.parallel import Checkpoints, Mesh, Method, make_groups, parallelize, processes, weights_on_meta  # noqa: E402
from isoflop.shapes import ModelShape, count_params  # noqa: E402
from isoflop.training import OptimizerConfig, build_optimizer  # noqa: E402
from parallel.world import run_world  # noqa: E402

MESHES = {"one": Mesh(), "ddp": Mesh(replicate=2), "fsdp2": Mesh(shard=2)}


def step_times(name: str, shape: ModelShape, *, steps: int, sequences: int) -> dict[str, float]:
    """Median seconds of a step: wall clock, own clock; for one process also what a save takes the training."""
    groups, batch = make_groups(MESHES[name]), sequences * MESHES[name].data
    with weights_on_meta():
        plain, rules = build_model(shape, parametrization("u-mup"), base=shape, seed=0)
    model = parallelize(plain, groups, method=Method(), batch=batch)
    model.fill(lambda weight, size: draw_weight(weight, torch.empty(size), rule=rules[weight], seed=0))
    optimizer = build_optimizer(model, rules, OptimizerConfig(lr=0.01))
    rows = torch.randint(shape.vocab, (batch, shape.context + 1), generator=torch.Generator().manual_seed(0))
    data, walls, owns = Batch(rows[:, :-1], rows[:, 1:]), [], []
    for _ in range(steps):
        wall, own = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        model.gradients(data)
        model.clip(1.0)
        optimizer.step()
        walls.append(time.perf_counter() - wall)
        owns.append(time.process_time() - own)
    found = {"wall": statistics.median(walls[2:]), "own": statistics.median(owns[2:])}
    if name == "one":
        with tempfile.TemporaryDirectory() as folder:
            checkpoints, saves = Checkpoints(Path(folder)), []
            for step in range(3):
                checkpoints.wait()
                wall = time.perf_counter()
                checkpoints.save(step, model, optimizer, {})
                saves.append(time.perf_counter() - wall)
            checkpoints.close()
            found["save"] = statistics.median(saves)
    return found


def work(names: list[str], settings: argparse.Namespace) -> None:
    """One process of a world: measure and, in the first, print as JSON."""
    shape = a_shape(settings.width)
    with processes():
        found = {name: step_times(name, shape, steps=settings.steps, sequences=settings.sequences) for name in names}
        if dist.get_rank() == 0:
            print(json.dumps(found))


def a_shape(width: int) -> ModelShape:
    """Six layers, so that matrix products decide the time."""
    return ModelShape(layers=6, width=width, heads=width // 32, vocab=2048, context=256, ffn=width * 3, norm="plain")


def main() -> None:
    """Measure each world and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--work", nargs="+", default=[])
    settings = parser.parse_args()
    if settings.work:
        work(settings.work, settings)
        return
    given = ("--steps", settings.steps, "--width", settings.width, "--sequences", settings.sequences)
    arguments = (*given, "--work")
    script = str(Path(__file__).resolve())

    def world(size: int, *names: str) -> dict[str, dict[str, float]]:
        printed = run_world(size, *arguments, *names, script=script, timeout=900)[0]
        return dict(json.loads(printed.strip().splitlines()[-1]))

    found = world(1, "one")
    with ThreadPoolExecutor(2) as pool:
        apart = [times["one"] for times in pool.map(lambda _: world(1, "one"), range(2))]
    found["apart"] = {clock: statistics.mean(times[clock] for times in apart) for clock in ("wall", "own")}
    found |= world(2, "ddp", "fsdp2")
    one, params = found["one"], count_params(a_shape(settings.width)).total
    print(f"{params:,} parameters, {settings.sequences * 256:,} tokens a process and step")
    print("| layout | step, s | efficiency, wall clock | efficiency, own clock | of the ideal, wall clock |")
    print("| --- | --- | --- | --- | --- |")
    for name, times in found.items():
        shares = " | ".join(f"{one[clock] / times[clock]:.2f}" for clock in ("wall", "own"))
        print(f"| {name} | {times['wall']:.2f} | {shares} | {found['apart']['wall'] / times['wall']:.2f} |")
    print(f"A save keeps the training for {one['save']:.3f} s: {one['save'] / one['wall']:.1%} of one step.")


if __name__ == "__main__":
    main()
