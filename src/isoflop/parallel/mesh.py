"""`Mesh`: how many ways one run is divided, and why a division is not possible."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Literal

from isoflop.errors import UserError
from isoflop.shapes import ModelShape

ContextMethod = Literal["ulysses", "gather"]
Recomputation = Literal["none", "selective", "full"]
PipelineSchedule = Literal["1f1b", "interleaved", "interleaved-zero-bubble", "zbv-zero-bubble"]

CHUNKS = {"1f1b": 1, "interleaved": 2, "interleaved-zero-bubble": 2, "zbv-zero-bubble": 2}
"""Pipeline stages that each rank holds under a schedule."""


@dataclass(frozen=True)
class Mesh:
    """Degrees of parallelism; their product is the number of processes.

    `replicate` copies of the state, each divided over `shard` ranks (FSDP); `tensor` ranks divide each matrix,
    `context` ranks each sequence, `pipeline` ranks the layers. Ranks count up along tensor, context, shard, replicate,
    pipeline, so that the ranks of the busiest collectives are neighbours.
    """

    replicate: int = 1
    shard: int = 1
    tensor: int = 1
    context: int = 1
    pipeline: int = 1

    def __post_init__(self) -> None:
        for name, degree in vars(self).items():
            if degree < 1:
                raise UserError(f"machine.{name} must be at least 1, not {degree}.")

    @property
    def world(self) -> int:
        """The number of processes."""
        return math.prod(astuple(self))

    @property
    def data(self) -> int:
        """In how many parts the sequences of a batch are divided."""
        return self.replicate * self.shard

    def __str__(self) -> str:
        return " × ".join(f"{name} {degree}" for name, degree in vars(self).items() if degree > 1) or "one process"


@dataclass(frozen=True)
class Method:
    """How the divided run works.

    `sequence`: between the matrices of a block, tensor ranks divide the tokens. `loss_parallel`: the logits stay
    divided over the vocabulary. `micro_batches`: in how many parts a data rank works through its sequences; gradients
    are reduced once, after the last.
    """

    sequence: bool = True
    loss_parallel: bool = True
    context: ContextMethod = "ulysses"
    schedule: PipelineSchedule = "1f1b"
    micro_batches: int = 1
    recompute: Recomputation = "none"
    compile: bool = False

    @property
    def chunks(self) -> int:
        return CHUNKS[self.schedule]


def check_world(mesh: Mesh, world: int) -> None:
    """Raise `UserError` where `world` processes are not what `mesh` needs."""
    if mesh.world != world:
        raise UserError(f"The mesh {mesh} needs {mesh.world} processes, but {world} were started.")


def check_mesh(mesh: Mesh, method: Method, *, shape: ModelShape, batch: int) -> None:
    """Raise `UserError`, a sentence for each thing that does not divide: of `shape`, or the sequences of a batch."""
    reasons = [reason for wrong, reason in _obstacles(mesh, method, shape, batch) if wrong]
    if reasons:
        raise UserError(" ".join(f"{reason[0].upper()}{reason[1:]}." for reason in reasons))


def _obstacles(mesh: Mesh, method: Method, shape: ModelShape, batch: int) -> Iterator[tuple[bool | int, str]]:
    tensor, context, stages = mesh.tensor, mesh.context, mesh.pipeline * method.chunks
    for count, of in ((shape.heads, "heads"), (shape.n_kv_heads, "key-value heads"), (shape.ffn, "feed-forward rows")):
        yield count % tensor, f"{count} {of} do not divide by machine.tensor {tensor}"
    yield (
        not method.loss_parallel and shape.vocab % tensor,
        f"a vocabulary of {shape.vocab} does not divide by machine.tensor {tensor} unless the loss is parallel too",
    )
    yield shape.context % context, f"sequences of {shape.context} tokens do not divide by machine.context {context}"
    yield (
        method.sequence and tensor > 1 and shape.context // context % tensor,
        f"the {shape.context // context} tokens of a rank do not divide by machine.tensor {tensor}, as sequence "
        "parallelism needs",
    )
    for count, of in ((shape.heads, "heads"), (shape.n_kv_heads, "key-value heads")):
        yield (
            method.context == "ulysses" and context > 1 and count // tensor % context,
            f"the {count // tensor} {of} of a rank do not divide by machine.context {context}: use the method 'gather'",
        )
    yield tensor > 1 and shape.dropout > 0, "machine.tensor above 1 takes no dropout"
    if context > 1:
        yield from _context_obstacles(shape)
    yield batch % mesh.data, f"{batch} sequences do not divide by replicate × shard = {mesh.data}"
    yield (
        batch // mesh.data % method.micro_batches,
        f"the {batch // mesh.data} sequences of a rank do not divide into {method.micro_batches} micro-batches",
    )
    if mesh.pipeline > 1:
        yield from _pipeline_obstacles(mesh, method, shape, stages)


def _context_obstacles(shape: ModelShape) -> Iterator[tuple[bool | int, str]]:
    """What needs to know the whole sequence outside of self-attention, or draws random numbers inside it."""
    yield shape.dropout > 0, "machine.context above 1 takes no dropout"
    yield shape.pooler, "machine.context above 1 takes no pooler: the first token is on one rank only"
    yield shape.stack == "encoder_decoder", "machine.context above 1 takes one stack, not an encoder_decoder"


def _pipeline_obstacles(mesh: Mesh, method: Method, shape: ModelShape, stages: int) -> Iterator[tuple[bool | int, str]]:
    micro = method.micro_batches
    yield stages > shape.layers, f"{shape.layers} layers are too few for {stages} pipeline stages"
    yield micro < mesh.pipeline, f"machine.pipeline {mesh.pipeline} needs at least as many micro-batches, not {micro}"
    rounds = max(1, micro // mesh.pipeline)
    yield (
        method.chunks > 1 and micro % rounds,
        f"the schedule {method.schedule} needs micro-batches in multiples of machine.pipeline {mesh.pipeline}, "
        f"not {micro}",
    )
    yield (
        shape.tied and method.schedule == "zbv-zero-bubble" and mesh.shard > 1,
        f"the schedule {method.schedule} has both ends of a tied model on one rank, which shard can't divide: use 1f1b",
    )
    yield (
        shape.stack == "encoder_decoder",
        "pipelining is for one stack, not for an encoder_decoder: divide it by shard or tensor",
    )
    yield shape.positions == "relative", "relative positions are shared by all layers and can't be cut by pipeline"
    yield shape.dropout > 0, "machine.pipeline above 1 takes no dropout"
    yield (
        "zero-bubble" in method.schedule and method.recompute != "none",
        f"the schedule {method.schedule} splits the backward pass and can't recompute: use 1f1b or recompute 'none'",
    )
    yield (
        "zero-bubble" in method.schedule and method.compile,
        f"the schedule {method.schedule} splits the backward pass and can't be compiled: use 1f1b or no compilation",
    )
