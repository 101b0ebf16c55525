"""Bytes on the fullest device of a layout, by part."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from isoflop.planning.layout import Layout, Workload
from isoflop.shapes.counting import count_params, expert_matrix_params, matmul_params
from isoflop.shapes.footprint import activation_bytes, head_bytes
from isoflop.shapes.model_shape import ModelShape


@dataclass(frozen=True)
class MemoryUse:
    """Bytes per device. `gathered` is what sharding holds unsharded for a while: weights and their gradients;
    `buffers` is what one operation needs and nobody keeps."""

    weights: float
    gradients: float
    optimizer: float
    gathered: float
    activations: float
    logits: float
    buffers: float = 0.0

    @property
    def total(self) -> float:
        return float(sum(vars(self).values()))


def memory_per_device(load: Workload, layout: Layout) -> MemoryUse:
    """Bytes on the stage that holds most: the first (most micro-batches in flight) or the last (with the logits).

    Where the program is known moment by moment and there is no pipeline, what the fullest moment holds; else everything
    that is ever held, as if at once.
    """
    if load.program.drops_gradients and layout.pipeline == 1:
        return max(moments(load, layout).values(), key=lambda use: use.total)
    first = _stage(load, layout, last=layout.pipeline == 1)
    return first if layout.pipeline == 1 else max(first, _stage(load, layout, last=True), key=lambda use: use.total)


def moments(load: Workload, layout: Layout) -> dict[str, MemoryUse]:
    """What a device holds at the moments of a step that can be the fullest; all layouts but pipelines.

    Gradients are freed before the forward pass, unless several micro-batches add them up. Full, the loss makes the
    logits and their log-softmax, then the gradient of each; in chunks, the gradients of head and features instead. In
    the backward pass of the last layer a gated feed-forward has two gradients of its hidden size beside all that was
    kept. A tied table gets one gradient as the head's and one as the embedding's. Of what sharding gathers, the forward
    pass has the weights and only the backward pass their gradients.
    """
    shape, program = load.shape, load.program
    every = _stage(load, layout, last=True)
    e, tokens = program.element, layout.micro_batch * shape.context / layout.context
    stream = e * tokens * shape.width / (layout.tensor if layout.sequence else 1)
    table, norm = e * shape.vocab * shape.width / layout.tensor, 2 * stream
    backward_full = replace(every, activations=every.activations + norm, logits=0.0)
    full = replace(backward_full, gathered=every.gathered / 2)
    # With several micro-batches gradients add up, and none is freed before the last.
    several = layout.micro_batches(load.sequences) > 1
    freed = full if several else replace(full, gradients=0.0)
    entries = tokens * shape.vocab / layout.tensor
    once = e * min(entries, program.loss_entries or entries)
    if program.loss_entries:
        loss, backward = (
            replace(freed, logits=once, buffers=2 * table + stream),
            replace(freed, buffers=2 * (table + stream)),
        )
    else:
        loss, backward = replace(freed, logits=2 * once), replace(freed, logits=3 * once)
    hidden = e * tokens * shape.ffn * (2 if shape.matrices_per_feed_forward == 3 else 1) / layout.tensor
    return {
        "loss": loss,
        "loss backward": backward,
        "last layer backward": replace(
            freed, gathered=every.gathered, gradients=freed.gradients or table, buffers=hidden + stream
        ),
        "embedding backward": replace(backward_full, activations=stream, buffers=stream + (table if shape.tied else 0)),
    }


def stage_params(shape: ModelShape, layout: Layout) -> float:
    """Parameters on a device of the first stage, experts included: its layers, and the embedding or the head."""
    counts = count_params(shape)
    tables = counts.embedding + counts.head if layout.pipeline == 1 else max(counts.embedding, counts.head)
    return (body_params(shape, layout) / layout.pipeline + tables) / layout.tensor


def body_params(shape: ModelShape, layout: Layout) -> float:
    """Parameters of all layers, of which each expert-parallel device holds its share of the experts."""
    experts = shape.layers * shape.experts * expert_matrix_params(shape) if shape.experts > 1 else 0
    return count_params(shape).body - experts + experts / layout.expert


def stage_layers(shape: ModelShape, layout: Layout) -> tuple[int, int]:
    """Layers of the fullest stage and of the last, which has the head as well.

    Layers that do not divide evenly leave room, which goes to the stages with the embedding and the head. A balanced
    pipeline counts the head as so many layers as it has the matrix weights of.
    """
    p = layout.pipeline
    if p == 1:
        return shape.layers, shape.layers
    if layout.balanced:
        head = shape.vocab * shape.width / (matmul_params(shape) - shape.vocab * shape.width) * shape.layers
        last = max(0, round((shape.layers + head) / p - head))
        return math.ceil((shape.layers - last) / (p - 1)), last
    most = math.ceil(shape.layers / p)
    return most, most - (most * p - shape.layers + 1) // 2


def _stage(load: Workload, layout: Layout, *, last: bool) -> MemoryUse:
    shape, state = load.shape, load.program.state
    params = stage_params(shape, layout)
    replicas = layout.data * layout.context
    everything = replicas if layout.shard == "all" else 1
    optimizer = 1 if layout.shard == "none" else replicas
    return MemoryUse(
        weights=state.weights * params / everything,
        gradients=state.gradients * params / everything,
        optimizer=state.optimizer * params / optimizer,
        gathered=_gathered(load, layout, params) if layout.shard == "all" and replicas > 1 else 0.0,
        activations=_activations(load, layout, last=last),
        logits=_logits(load, layout) if last else 0.0,
    )


def _gathered(load: Workload, layout: Layout, params: float) -> float:
    """Under a pipeline a stage stays gathered and adds up its gradients; else two layers and the tables are whole."""
    shape, program = load.shape, load.program
    if layout.pipeline > 1:
        return (program.element + program.state.gradients) * params
    counts = count_params(shape)
    layer = body_params(shape, layout) / shape.layers
    return 2 * program.element * (2 * layer + counts.embedding + counts.head) / layout.tensor


def _in_flight(load: Workload, layout: Layout, *, last: bool) -> float:
    """Micro-batches whose activations a stage keeps (Korthikanti et al. 2022, section 4.2.3)."""
    batches = max(1, layout.micro_batches(load.sequences))
    if layout.pipeline == 1:
        return 1.0
    p = layout.pipeline
    if layout.schedule == "interleaved":
        extra = (p - 1) / layout.chunks
        return min(batches, (1 if last else p) + extra)
    return min(batches, 1 if last else p)


def _activations(load: Workload, layout: Layout, *, last: bool) -> float:
    in_flight = _in_flight(load, layout, last=last)
    layers = stage_layers(load.shape, layout)[1 if last else 0]
    shape, program = load.shape, load.program
    tokens = layout.micro_batch * shape.context / layout.context
    sequence = layout.tensor if layout.sequence else 1
    kept = activation_bytes(shape, program, recompute=layout.recompute, tensor=layout.tensor, sequence=sequence)
    whole = activation_bytes(shape, program, tensor=layout.tensor, sequence=sequence)
    embedding = shape.width / sequence if program.dropout else 0
    # While a layer is made again, all of it is there once.
    return tokens * (in_flight * (layers * kept + embedding) + (whole - kept))


def _logits(load: Workload, layout: Layout) -> float:
    tokens = layout.micro_batch * load.shape.context / layout.context
    if load.program.loss_entries:  # in chunks, each gone before the next
        return load.program.element * min(tokens * load.shape.vocab / layout.tensor, load.program.loss_entries)
    sequence = layout.tensor if layout.sequence else 1
    return tokens * head_bytes(load.shape, load.program, tensor=layout.tensor, sequence=sequence)
