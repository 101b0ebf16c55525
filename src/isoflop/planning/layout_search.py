"""Every sensible layout of a model on a number of devices: which are impossible and why, and which is fastest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from isoflop.errors import UserError
from isoflop.planning.hardware import GIB, Hardware, Precision, hardware
from isoflop.planning.layout import Layout, Schedule, Shard, Workload, why_impossible
from isoflop.planning.memory import MemoryUse, memory_per_device
from isoflop.planning.step_time import StepTime, step_time
from isoflop.shapes import ModelShape, train_flops_per_token
from isoflop.shapes.footprint import Recompute
from isoflop.shapes.program import EAGER_CPU, PROGRAM, Program

USABLE = 0.9
"""Share of a device's memory that a plan may fill: the rest is for the driver, collectives and fragments."""
BATCH_TOLERANCE = 0.1
"""A layout may round the batch to whole micro-batches on every replica, by at most this share."""
LARGEST_TENSOR = 16
LARGEST_CONTEXT = 32
LONG_SEQUENCE = 16384
"""Below this nobody divides a sequence."""


@dataclass(frozen=True)
class Choice:
    """A layout that fits, with what a step takes: time, memory and the share of the peak that does model FLOPs."""

    layout: Layout
    batch_tokens: int
    step: StepTime
    memory: MemoryUse
    utilisation: float

    @property
    def tokens_per_second(self) -> float:
        return self.batch_tokens / self.step.total

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "layout": vars(self.layout),
            "text": str(self.layout),
            "batch_tokens": self.batch_tokens,
            "step_seconds": self.step.total,
            "step_parts_seconds": vars(self.step),
            "memory_bytes": self.memory.total,
            "memory_parts_bytes": vars(self.memory),
            "mfu": self.utilisation,
            "tokens_per_second": self.tokens_per_second,
        }


@dataclass(frozen=True)
class Layouts:
    """What was found: `choices` by speed, the fastest first, and every refused layout with its reason."""

    choices: tuple[Choice, ...]
    refused: tuple[tuple[Layout, str], ...]

    def reasons(self) -> dict[str, int]:
        """How many layouts each reason refused, the commonest first."""
        counts: dict[str, int] = {}
        for _, reason in self.refused:
            counts[reason] = counts.get(reason, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))


def layouts(
    shape: ModelShape,
    device: Hardware | str,
    n: int = 1,
    *,
    batch_tokens: int = 2**22,
    program: Program | None = None,
    precision: Precision | None = None,
    keep: int = 10,
) -> Layouts:
    """All layouts of `shape` on `n` devices for a step of about `batch_tokens`, ranked by tokens per second.

    Considers data (ZeRO-1 or fully sharded), tensor with sequence, pipeline (1F1B, interleaved, zero-bubble), context
    and expert parallelism, micro-batches and recomputation; `keep` of the choices are returned. Raises `UserError`
    where the batch is smaller than a sequence or no layout fits, with the commonest reasons.
    """
    device = hardware(device) if isinstance(device, str) else device
    precision = precision or device.usual
    program = program or (EAGER_CPU if precision == "fp32" else PROGRAM)
    if batch_tokens < shape.context:
        raise UserError(
            f"A batch of {batch_tokens:,} tokens is smaller than one sequence of {shape.context:,}: choose a larger "
            "batch or shorter sequences."
        )
    load = Workload(shape, batch_tokens // shape.context, program, precision)
    choices: list[Choice] = []
    refused: list[tuple[Layout, str]] = []
    for layout in _candidates(load, device, n):
        judged = _judge(load, layout, device)
        if isinstance(judged, str):
            refused.append((layout, judged))
        else:
            choices.append(judged)
    found = Layouts(tuple(sorted(choices, key=lambda one: -one.tokens_per_second)[:keep]), tuple(refused))
    if not found.choices:
        raise UserError(_nothing_fits(found, shape, device, n))
    return found


def _judge(load: Workload, layout: Layout, device: Hardware) -> Choice | str:
    rounded = _rounded(load, layout)
    if isinstance(rounded, str):
        return rounded
    reason = why_impossible(layout, rounded, hardware=device)
    if reason is not None:
        return reason
    memory = memory_per_device(rounded, layout)
    if memory.total > USABLE * device.memory:
        return f"too little memory ({device.memory / GIB:.0f} GiB a device)"
    step = step_time(rounded, layout, hardware=device)
    flops = train_flops_per_token(load.shape) * rounded.batch_tokens
    utilisation = flops / (step.total * layout.devices * device.peak_flops(load.precision))
    return Choice(layout, rounded.batch_tokens, step, memory, utilisation)


def _rounded(load: Workload, layout: Layout) -> Workload | str:
    """The load with a batch that divides into the layout's micro-batches."""
    unit = layout.data * layout.micro_batch * (layout.pipeline if layout.schedule == "interleaved" else 1)
    sequences = max(1, round(load.sequences / unit)) * unit
    if abs(sequences / load.sequences - 1) > BATCH_TOLERANCE:
        return "the batch does not divide into so many replicas and micro-batches"
    return replace(load, sequences=sequences)


def _candidates(load: Workload, device: Hardware, n: int) -> Iterator[Layout]:
    shape = load.shape
    tensors = [t for t in _divisors(n) if t <= min(device.node_size, LARGEST_TENSOR)]
    contexts = [c for c in _divisors(n) if c <= LARGEST_CONTEXT and (c == 1 or shape.context >= LONG_SEQUENCE)]
    experts = [e for e in _divisors(shape.experts) if e <= n]
    for tensor, context, pipeline in itertools.product(tensors, contexts, _divisors(n)):
        if n % (tensor * context * pipeline) or pipeline > shape.layers:
            continue
        data = n // (tensor * context * pipeline)
        if data > 2 * load.sequences:
            continue
        grid = Layout(data=data, tensor=tensor, pipeline=pipeline, context=context)
        for expert, shard, (schedule, chunks) in itertools.product(experts, _shards(grid), _schedules(shape, pipeline)):
            arranged = replace(grid, expert=expert, shard=shard, schedule=schedule, chunks=chunks)
            for micro, recompute in itertools.product((1, 2, 4, 8), _recomputes(load)):
                yield replace(arranged, micro_batch=micro, recompute=recompute)


def _shards(layout: Layout) -> tuple[Shard, ...]:
    if layout.data * layout.context == 1:
        return ("none",)
    # A pipeline that is fully sharded keeps its stage gathered, which saves little: ZeRO-1 stands for it.
    return ("optimizer", "all") if layout.pipeline == 1 else ("optimizer",)


def _schedules(shape: ModelShape, pipeline: int) -> tuple[tuple[Schedule, int], ...]:
    if pipeline == 1:
        return (("1f1b", 1),)
    most = shape.layers // pipeline
    chunks = sorted({chunk for chunk in (2, 4, most) if 1 < chunk <= most})
    return (("1f1b", 1), ("zero-bubble", 1), *(("interleaved", chunk) for chunk in chunks))


def _recomputes(load: Workload) -> tuple[Recompute, ...]:
    return ("none", "half", "full") if load.program.flash else ("none", "attention", "full")


def _divisors(number: int) -> list[int]:
    small = [one for one in range(1, int(number**0.5) + 1) if number % one == 0]
    return sorted({*small, *(number // one for one in small)})


def _nothing_fits(found: Layouts, shape: ModelShape, device: Hardware, n: int) -> str:
    reasons = "; ".join(f"{reason}: {count} layouts" for reason, count in itertools.islice(found.reasons().items(), 3))
    return (
        f"No layout of {shape.layers} layers of width {shape.width} fits {n} x {device.name} ({reasons}): take more "
        "devices, larger ones, or another batch."
    )
