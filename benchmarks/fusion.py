"""Eight learning rates trained together beside eight runs one after another, on one processor.

    python benchmarks/fusion.py [--rounds 5] [--threads 1] [--compile] [--shape 0|1]

Both train in one process by turns, whole steps; printed are medians over rounds of milliseconds for a step of all
eight and the median of the ratio together / apart: processor time with one thread, wall time with more. `--compile`
adds the stack with compiled blocks beside separate eager runs: eight runs' work may pay for compiling where one's
does not.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from isoflop.models import Batch, build_model, parametrization
from isoflop.planning import Family
from isoflop.shapes import ModelShape
from isoflop.training import Choice, OptimizerConfig, build_optimizer, set_precision, train_steps
from isoflop.training.fusion import Member, Stack, fused_steps

RUNS = 8
MANY = 10**9
SHAPES = ((Family(3, 2, 512, 32).at(32), 32), (Family(2, 2, 4096, 128).at(64), 16))
"""The default study's smallest rung, and the small shape of benchmarks/throughput.py, with their batches."""


class SameBatch:
    """The same random tokens at every step."""

    def __init__(self, shape: ModelShape, batch: int, seed: int) -> None:
        source = torch.Generator().manual_seed(seed)
        rows_BT = torch.randint(shape.vocab, (batch, shape.context + 1), generator=source)
        self.batch = Batch(rows_BT[:, :-1], rows_BT[:, 1:])

    def at(self, step: int) -> Batch:
        del step
        return self.batch


def member(shape: ModelShape, batch: int, place: int) -> Member:
    model, rules = build_model(shape, parametrization("u-mup"), base=shape, seed=place)
    optimizer = build_optimizer(model, rules, OptimizerConfig(lr=0.05 * 1.5**place))
    return Member(model, optimizer, SameBatch(shape, batch, place))


def compare(shape: ModelShape, batch: int, *, together: Choice, apart: Choice, rounds: int) -> str:
    """A line of the table."""
    members, singles = ([member(shape, batch, place) for place in range(RUNS)] for _ in range(2))
    stack = Stack([one.model for one in members])
    set_precision(stack.model, together)
    for one in singles:
        set_precision(one.model, apart)
    fused = fused_steps(members, stack, steps=range(MANY), lr_factor=lambda _: 1.0)
    alone = [
        train_steps(one.model, one.batches, optimizer=one.optimizer, steps=range(MANY), lr_factor=lambda _: 1.0)
        for one in singles
    ]
    ways: tuple[Callable[[], object], ...] = (lambda: next(fused), lambda: [next(steps) for steps in alone])
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: tuple[list[float], list[float]] = ([], [])
    for way in ways:
        way()
    for turn in range(rounds):
        for which in (0, 1) if turn % 2 else (1, 0):
            start = clock()
            for _ in range(3):
                ways[which]()
            times[which].append((clock() - start) / 3)
    ratio = statistics.median(one / other for one, other in zip(*times, strict=True))
    first, second = (1e3 * statistics.median(one) for one in times)
    name = f"{shape.layers}×{shape.width}, T {shape.context}, V {shape.vocab:,}, batch {batch}"
    how = f"{together.dtype}{', compiled' if together.compiled else ''} / {apart.dtype}"
    return f"{name:34} {how:22} {first:>10.1f} {second:>10.1f} {ratio:>8.2f}"


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--threads", type=int, default=1)
    asked.add_argument("--compile", action="store_true")
    asked.add_argument("--shape", type=int, choices=range(len(SHAPES)))
    options = asked.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    ways = [(Choice("fp32"), Choice("fp32")), (Choice("bf16"), Choice("bf16"))]
    if options.compile:
        ways.append((Choice("bf16", compiled=True), Choice("bf16")))
    print(f"{RUNS} runs, {options.threads} thread{'s' * (options.threads > 1)}, ms a step of all")
    print(f"{'shape':34} {'together / apart':22} {'together':>10} {'apart':>10} {'ratio':>8}")
    for shape, batch in SHAPES if options.shape is None else SHAPES[options.shape : options.shape + 1]:
        for together, apart in ways:
            print(compare(shape, batch, together=together, apart=apart, rounds=options.rounds), flush=True)


if __name__ == "__main__":
    main()
