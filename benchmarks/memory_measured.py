"""Predicted against measured memory of a training step on this machine's CPU: `python benchmarks/memory_measured.py`.

Each row trains a decoder for two steps (the second has all state) in a process of its own, with `build_model`,
`build_optimizer` and `train_steps`. Measured is the most that the process ever had in memory (VmHWM of
/proc/self/status) less what it held before the model was built, a tiny model having loaded the libraries that load
late. The C library is told to give blocks of 64 KiB and more back when they are freed; with `--heap` it is left as it
comes, and keeps what it likes.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median

from isoflop.planning.layout import Layout, Workload
from isoflop.planning.memory import MemoryUse, memory_per_device
from isoflop.shapes import ModelShape
from isoflop.shapes.program import EAGER_CPU

MB = 1e6
STEPS = 2
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

ROWS = (
    # width, layers, context, vocabulary, sequences, feed-forward, tied
    (256, 4, 256, 512, 16, "swiglu", False),
    (256, 4, 256, 8192, 8, "swiglu", False),
    (256, 4, 256, 32000, 8, "swiglu", False),
    (256, 12, 512, 512, 8, "swiglu", False),
    (256, 8, 1024, 8192, 4, "gelu", False),
    (512, 4, 256, 512, 4, "swiglu", False),
    (512, 8, 256, 8192, 8, "swiglu", True),
    (512, 4, 512, 32000, 4, "swiglu", True),
    (512, 12, 512, 8192, 4, "swiglu", False),
    (512, 6, 1024, 32000, 4, "gelu", False),
    (768, 6, 1024, 512, 4, "swiglu", False),
    (1024, 4, 256, 32000, 4, "swiglu", True),
    (1024, 8, 256, 8192, 4, "swiglu", False),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heap", action="store_true", help="leave the C library's heap as it comes")
    parser.add_argument("--row", type=int, help="measure this row alone, in this process (used by the command itself)")
    asked = parser.parse_args()
    if asked.row is not None:
        print(measure(asked.row))
        return
    print("width layers context  vocab batch ff     tied   measured  predicted   error   of which (MB)")
    errors = []
    for row, (shape, batch) in enumerate(rows()):
        measured = _in_fresh_process(row, heap=asked.heap)
        use = predicted(shape, batch)
        errors.append(abs(use.total / measured - 1))
        print(
            f"{shape.width:5} {shape.layers:6} {shape.context:7} {shape.vocab:6} {batch:5} {shape.feed_forward:6} "
            f"{'yes' if shape.tied else 'no':4} {measured / MB:7.0f} MB {use.total / MB:7.0f} MB "
            f"{use.total / measured - 1:+7.1%}   {_parts(use)}",
            flush=True,
        )
    print(f"absolute error: median {median(errors):.1%}, mean {mean(errors):.1%}, worst {max(errors):.1%}")


def rows() -> Iterator[tuple[ModelShape, int]]:
    """Shapes and sequences of a batch."""
    for width, layers, context, vocab, batch, kind, tied in ROWS:
        ffn = 4 * width if kind == "gelu" else round(8 / 3 * width / 64) * 64
        yield (
            ModelShape(
                layers, width, width // 64, vocab, context, ffn, feed_forward=kind, tied=tied, norm="plain"
            ),
            batch,
        )  # fmt: skip


def predicted(shape: ModelShape, batch: int) -> MemoryUse:
    """What the planner says of one device that trains alone."""
    return memory_per_device(Workload(shape, batch, EAGER_CPU, "fp32"), Layout(shard="none", micro_batch=batch))


def measure(row: int) -> int:
    """Bytes at the peak of this process above what it held before the model was built."""
    shape, batch = list(rows())[row]
    _train(ModelShape(1, 64, 1, 64, 16, 64, norm="plain"), 2)
    gc.collect()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    _train(shape, batch)
    return _status("VmHWM") - before


def _train(shape: ModelShape, batch: int) -> None:
    import torch

    from isoflop.models import Batch, build_model, parametrization
    from isoflop.training import OptimizerConfig, build_optimizer, train_steps

    class Random:
        def at(self, step: int) -> Batch:
            generator = torch.Generator().manual_seed(step)
            tokens = torch.randint(shape.vocab, (batch, shape.context + 1), generator=generator)
            return Batch(tokens[:, :-1], tokens[:, 1:])

    torch.set_num_threads(1)
    model, rules = build_model(shape, parametrization("mup"), base=shape, seed=0)
    optimizer = build_optimizer(model, rules, OptimizerConfig(lr=1e-3))
    for _ in train_steps(model, Random(), optimizer=optimizer, steps=range(STEPS), lr_factor=lambda _: 1.0):
        pass


def _in_fresh_process(row: int, *, heap: bool) -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **({} if heap else GIVE_BACK)}
    command = [sys.executable, __file__, "--row", str(row)]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


def _parts(use: MemoryUse) -> str:
    return ", ".join(f"{name} {value / MB:.0f}" for name, value in vars(use).items() if value)


if __name__ == "__main__":
    main()
