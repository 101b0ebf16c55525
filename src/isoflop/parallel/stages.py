"""Pipelining: a model cut into stages that keep the names of its blocks, and torch's schedules over them.

B batch, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
    ScheduleZBVZeroBubble,
)

from isoflop.models import Batch
from isoflop.parallel.mesh import Mesh, Method, PipelineSchedule
from isoflop.shapes import ModelShape

SCHEDULES: dict[PipelineSchedule, Any] = {
    "1f1b": Schedule1F1B,
    "interleaved": ScheduleInterleaved1F1B,
    "interleaved-zero-bubble": ScheduleInterleavedZeroBubble,
    "zbv-zero-bubble": ScheduleZBVZeroBubble,
}
"""1F1B and interleaved: Narayanan et al. 2021 (arXiv 2104.04473); zero-bubble: Qi et al. 2023 (arXiv 2401.10241)."""


class Blocks(nn.ModuleDict):
    """Some blocks of a model under the names they have in the whole; iterates over the blocks, as a list would."""

    def __iter__(self) -> Iterator[nn.Module]:  # type: ignore[override]
        return iter(self._modules.values())


def stages_of(rank: int, mesh: Mesh, method: Method) -> tuple[int, ...]:
    """The stages that a rank of the pipeline holds: every p-th, or first and last in a V."""
    if method.schedule == "zbv-zero-bubble":
        return rank, 2 * mesh.pipeline - 1 - rank
    return tuple(rank + chunk * mesh.pipeline for chunk in range(method.chunks))


def owners_of_stages(mesh: Mesh, method: Method) -> list[int]:
    """The rank of the pipeline that holds each stage, first stage first."""
    owners = {stage: rank for rank in range(mesh.pipeline) for stage in stages_of(rank, mesh, method)}
    return [owners[stage] for stage in sorted(owners)]


def twin_rank(stage: int, shape: ModelShape, *, mesh: Mesh, method: Method) -> int | None:
    """The rank that holds the other end of a tied model, where the one of `stage` holds one end and not both."""
    owners = owners_of_stages(mesh, method)
    if not shape.tied or owners[0] == owners[-1]:
        return None
    return {0: owners[-1], len(owners) - 1: owners[0]}.get(stage)


def blocks_of(stage: int, *, stages: int, layers: int) -> range:
    """Which blocks a stage holds: as equal as can be, the first stages having one more where it doesn't divide."""
    each, more = divmod(layers, stages)
    start = stage * each + min(stage, more)
    return range(start, start + each + (stage < more))


def cut_to_stage(model: Any, stage: int, *, stages: int) -> None:
    """Take out of a model what is not of `stage`; what it reads is then hidden states, and so is what it gives."""
    kept = blocks_of(stage, stages=stages, layers=len(model.blocks))
    model.blocks = Blocks({str(i): model.blocks[i] for i in kept})
    if stage > 0:
        model.embedding = model.position_table = model.segment_table = model.embedding_norm = None
        model.embed = lambda x_BTD, *_: x_BTD
    if stage < stages - 1:
        model.norm = model.head = None
        if model.shape.stack == "encoder":
            model.transform = model.transform_norm = model.pooler = model.pair_head = None


LossParts = Callable[[Any, Batch, bool], tuple[Tensor, Tensor | None]]
"""A model and a batch to the loss summed over targets, of each sequence if so asked, and that of all pairs' labels."""


class Part(nn.Module):
    """A model, or a pipeline stage of one, that ends in the loss where it has the head.

    `forward(x, **batch)` takes tokens or hidden states and the other fields of a `Batch`; gives hidden states or the
    loss, of shape (1,): the sum over its targets times `per_target` and over its pairs times `per_pair`, which are set
    for each step. With `by_sequence` set it gives the sum over the targets of each sequence as it is, of shape (B,).
    """

    def __init__(self, model: nn.Module, loss: LossParts | None) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        self.per_target = self.per_pair = 1.0
        self.by_sequence = False

    def forward(self, x: Tensor, targets: Tensor, **others: Tensor) -> Tensor:
        batch = Batch(x, targets, **others)
        if self.loss is None:
            return self.model.features(batch)  # type: ignore[operator]
        nats, pairs = self.loss(self.model, batch, self.by_sequence)
        if self.by_sequence:
            return nats
        loss = nats.sum() * self.per_target
        if pairs is not None:
            loss = loss + pairs * self.per_pair
        return torch.stack((loss,))  # not a view of it: FSDP2 puts a hook there


def build_schedule(
    parts: Sequence[Part],
    stages: Sequence[int],
    *,
    mesh: Mesh,
    method: Method,
    group: dist.ProcessGroup,
    hidden: Tensor,
) -> Any:
    """torch's schedule over this rank's `parts`; `hidden` (on meta) is what passes between stages for a micro-batch."""
    last = mesh.pipeline * method.chunks - 1
    tokens = torch.empty(hidden.shape[:1], dtype=torch.int64, device="meta")
    held = [
        PipelineStage(
            part,
            stage,
            last + 1,
            hidden_device(part),
            input_args=tokens if stage == 0 else hidden,
            output_args=torch.empty(1, device="meta", requires_grad=True) if stage == last else hidden,
            group=group,
        )
        for part, stage in zip(parts, stages, strict=True)
    ]
    return SCHEDULES[method.schedule](
        held[0] if method.chunks == 1 else held,
        method.micro_batches,
        loss_fn=lambda loss, _target: loss,
        scale_grads=False,
    )


def hidden_device(part: nn.Module) -> torch.device:
    """Where the stage computes."""
    return next(part.parameters()).device


def forward_only(
    parts: Sequence[Part], pieces: Sequence[Batch], *, mesh: Mesh, method: Method, group: dist.ProcessGroup
) -> list[Tensor]:
    """The losses of micro-batches on the rank that has the head, without learning: one stage after the other.

    torch's schedules with a split backward pass can't run without one.
    """
    owners = owners_of_stages(mesh, method)
    me, losses = group.rank(), list[Tensor]()
    mine = dict(zip(stages_of(me, mesh, method), parts, strict=True))
    for piece in pieces:
        x = piece.inputs
        for stage, part in sorted(mine.items()):
            if stage > 0 and owners[stage - 1] != me:
                width: int = part.model.shape.width  # type: ignore[union-attr,assignment]
                x = x.new_empty(*piece.inputs.shape, width, dtype=torch.float32)
                dist.recv(x, group=group, group_src=owners[stage - 1])
            x = part(x, **other_fields(piece))
            if stage == len(owners) - 1:
                losses.append(x)
            elif owners[stage + 1] != me:
                dist.send(x.contiguous(), group=group, group_dst=owners[stage + 1])
    return losses


def other_fields(batch: Batch) -> dict[str, Tensor]:
    """What a `Part` takes by name: the fields that the batch has, but for its inputs."""
    return {name: part for name, part in batch._asdict().items() if part is not None and name != "inputs"}
