"""Predicted against measured memory of a device in each layout: `python benchmarks/parallel_memory.py [--shapes …]`.

Each layout trains a decoder for two steps (the second has all state) in processes of its own, with `parallelize`.
Measured is, of the rank that took most, the most that it ever had in memory (VmHWM of /proc/self/status) less what it
held before the model was built, a tiny model having been trained in the same layout, so that libraries and groups are
there. The C library is told to give freed blocks back, as in memory_measured.py.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "src"), str(PROJECT / "tests"), str(PROJECT / "benchmarks")]

from memory_measured import GIVE_BACK, MB, _parts, _status  # noqa: E402

from isoflop.planning.layout import Layout, Workload  # noqa: E402
from isoflop.planning.memory import MemoryUse, memory_per_device  # noqa: E402
from isoflop.shapes import ModelShape  # noqa: E402
from isoflop.shapes.program import EAGER_CPU  # noqa: E402
from parallel.world import run_world  # noqa: E402

STEPS, BATCH = 2, 8
SHAPES = {
    "width 512": ModelShape(4, 512, 8, 2048, 256, 1408, norm="plain"),
    "width 256, long": ModelShape(6, 256, 4, 8192, 512, 704, norm="plain"),
}
TINY = ModelShape(4, 64, 4, 64, 16, 64, norm="plain")


@dataclass(frozen=True)
class Case:
    """A layout as `parallel` has it, and as the planner does."""

    mesh: dict[str, int]
    method: dict[str, object]
    planned: Layout


CASES = {
    "DDP 2": Case({"replicate": 2}, {}, Layout(data=2, shard="none", micro_batch=BATCH // 2)),
    "FSDP2 2": Case({"shard": 2}, {}, Layout(data=2, shard="all", micro_batch=BATCH // 2)),
    "HSDP 2×2": Case(
        {"replicate": 2, "shard": 2}, {}, Layout(data=2, shard="all", micro_batch=BATCH // 4)
    ),  # a device is one of FSDP 2
    "TP 2": Case({"tensor": 2}, {"sequence": False}, Layout(tensor=2, shard="none", sequence=False, micro_batch=BATCH)),
    "TP+SP 2": Case({"tensor": 2}, {}, Layout(tensor=2, shard="none", micro_batch=BATCH)),
    "PP 2": Case({"pipeline": 2}, {"micro_batches": 4}, Layout(pipeline=2, shard="none", micro_batch=BATCH // 4)),
    "CP 2": Case({"context": 2}, {}, Layout(context=2, shard="none", micro_batch=BATCH)),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs=2, help="measure this shape and case as one process (used by the command)")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES))
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    asked = parser.parse_args()
    if asked.work:
        print(json.dumps(measure(SHAPES[asked.work[0]], CASES[asked.work[1]])))
        return
    os.environ.update(GIVE_BACK)
    print("| model | layout | measured | predicted | off | of which, MB |\n| --- | --- | --- | --- | --- | --- |")
    for name in asked.shapes:
        for kind in asked.cases:
            case = CASES[kind]
            world = 1
            for degree in case.mesh.values():
                world *= degree
            printed = run_world(world, "--work", name, kind, script=str(Path(__file__).resolve()), timeout=900)
            taken = max(json.loads(text.strip().splitlines()[-1]) for text in printed)
            use = predicted(SHAPES[name], case)
            off = use.total / taken - 1
            sizes = f"{taken / MB:.0f} MB | {use.total / MB:.0f} MB | {off:+.1%}"
            print(f"| {name} | {kind} | {sizes} | {_parts(use)} |", flush=True)


def predicted(shape: ModelShape, case: Case) -> MemoryUse:
    """What the planner says of the fullest device."""
    sequences = case.planned.micro_batch * case.planned.data * (4 if case.planned.pipeline > 1 else 1)
    return memory_per_device(Workload(shape, sequences, EAGER_CPU, "fp32"), case.planned)


def measure(shape: ModelShape, case: Case) -> int:
    """Bytes at this rank's peak above what it held before the model was built."""
    from isoflop.parallel import processes

    with processes():
        train(TINY, case)
        gc.collect()
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
        train(shape, case)
        return _status("VmHWM") - before


def train(shape: ModelShape, case: Case) -> None:
    """Two steps in this case's layout."""
    import torch

    from isoflop.models import Batch, build_model, draw_weight, parametrization
    from isoflop.parallel import Mesh, Method, make_groups, parallelize, weights_on_meta
    from isoflop.training import OptimizerConfig, build_optimizer

    torch.set_num_threads(1)
    groups = make_groups(Mesh(**case.mesh))
    with weights_on_meta():
        plain, rules = build_model(shape, parametrization("mup"), base=shape, seed=0)
    model = parallelize(plain, groups, method=Method(**case.method), batch=BATCH)  # type: ignore[arg-type]
    model.fill(lambda name, size: draw_weight(name, torch.empty(size), rule=rules[name], seed=0))
    optimizer = build_optimizer(model, rules, OptimizerConfig(lr=1e-3))
    for step in range(STEPS):
        tokens = torch.randint(shape.vocab, (BATCH, shape.context + 1), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model.gradients(Batch(tokens[:, :-1], tokens[:, 1:]))
        model.clip(1.0)
        optimizer.step()


if __name__ == "__main__":
    main()
