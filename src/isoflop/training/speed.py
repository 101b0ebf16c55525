"""How fast this machine is: its matmul rate, and seconds per token of a shape."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from isoflop.models import Batch, build_model, parametrization
from isoflop.shapes import ModelShape, train_flops_per_token
from isoflop.training.loop import train_steps
from isoflop.training.optimizer import OptimizerConfig, build_optimizer
from isoflop.training.processor import processor_settings


@dataclass(frozen=True)
class Speed:
    """Seconds per token as a straight line in the FLOPs of a token, one thread; `peak_flops` is the matmul rate."""

    seconds: float
    seconds_per_flop: float
    peak_flops: float

    def seconds_per_token(self, shape: ModelShape) -> float:
        return self.seconds + self.seconds_per_flop * train_flops_per_token(shape)


class _RandomBatches:
    """The same random tokens at every step: the time of a step does not depend on what the tokens are."""

    def __init__(self, shape: ModelShape, batch: int) -> None:
        rows = torch.randint(shape.vocab, (batch, shape.context + 1))
        self.batch = Batch(rows[:, :-1], rows[:, 1:])

    def at(self, step: int) -> Batch:
        del step  # the same tokens, whatever the step
        return self.batch


def measure_speed(shapes: tuple[ModelShape, ModelShape], *, batch: int, steps: int = 8) -> Speed:
    """Time some throw-away steps of two shapes, small and large, on one thread, and draw the line between them."""
    with processor_settings(1):
        small, large = (_step_seconds(shape, batch, steps) / (batch * shape.context) for shape in shapes)
        less, more = (train_flops_per_token(shape) for shape in shapes)
        slope = max((large - small) / (more - less), 0.0) if more > less else large / more
        return Speed(max(small - slope * less, 0.0), slope, matmul_rate())


def matmul_rate(size: int = 512, repeats: int = 10) -> float:
    """FLOP/s of a square fp32 matrix product on the threads now set: the peak that utilisation is measured against."""
    a = torch.randn(size, size)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2.0 * size**3 / min(times)


def _step_seconds(shape: ModelShape, batch: int, steps: int) -> float:
    model, rules = build_model(shape, parametrization("u-mup"), base=shape, seed=0)
    optimizer = build_optimizer(model, rules, OptimizerConfig(lr=0.1))
    times, start = [], time.perf_counter()
    batches = _RandomBatches(shape, batch)
    for _ in train_steps(model, batches, optimizer=optimizer, steps=range(steps), lr_factor=lambda _: 1.0):
        now = time.perf_counter()
        times.append(now - start)
        start = now
    return float(np.median(times[2:] or times))
