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

SCHEDULES: dict[PipelineSchedule, Any] = {
    "1f1b": Schedule1F1B,
    "interleaved": ScheduleInterleaved1F1B,
    "interleaved-zero-bubble": ScheduleInterleavedZeroBubble,
    "zbv-zero-bubble": ScheduleZBVZeroBubble,
}
"""Narayanan et al. 2021 (arXiv 2104.04473) for 1F1B and interleaved; Qi et al. 2023 (arXiv 2401.10241) for the others."""


class Blocks(nn.ModuleDict):
    """Some blocks of a model under the names they have in the whole; iterates over the blocks, as a list would."""

    def __iter__(self) -> Iterator[nn.Module]:  # type: ignore[override]
        return iter(self._modules.values())  # type: ignore[arg-type]


def stages_of(rank: int, mesh: Mesh, method: Method) -> tuple[int, ...]:
    """The stages that a rank of the pipeline holds: every p-th, or first and last in a V."""
    if method.schedule == "zbv-zero-bubble":
        return rank, 2 * mesh.pipeline - 1 - rank
    return tuple(rank + chunk * mesh.pipeline for chunk in range(method.chunks))


def blocks_of(stage: int, *, stages: int, layers: int) -> range:
    """Which blocks a stage holds: as equal as can be, the first stages having one more where it doesn't divide."""
    each, more = divmod(layers, stages)
    start = stage * each + min(stage, more)
    return range(start, start + each + (stage < more))


def cut_to_stage(model: nn.Module, stage: int, *, stages: int) -> nn.Module:
    """Take out of a decoder what is not of `stage`; what it reads is then hidden states, and so is what it gives."""
    kept = blocks_of(stage, stages=stages, layers=len(model.blocks))  # type: ignore[arg-type]
    model.blocks = Blocks({str(i): model.blocks[i] for i in kept})  # type: ignore[index]
    if stage > 0:
        model.embedding = nn.Identity()
    if stage < stages - 1:
        model.norm, model.head = nn.Identity(), nn.Identity()
    return model


class Part(nn.Module):
    """A model, or a pipeline stage of one, that ends in the loss where it has the head.

    `forward(x, **batch)` takes tokens or hidden states and the other fields of a `Batch`; gives hidden states or the
    loss, of shape (1,), as a sum over its targets times `scale`, which is set for each step.
    """

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Batch], Tensor] | None) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        self.scale = 1.0

    def forward(self, x: Tensor, targets: Tensor, **others: Tensor) -> Tensor:
        batch = Batch(x, targets, **others)
        if self.loss is None:
            return self.model.features(batch)  # type: ignore[operator]
        return torch.stack((self.loss(self.model, batch) * self.scale,))  # not a view: FSDP2 hooks it


def build_schedule(
    parts: Sequence[Part], stages: Sequence[int], *, mesh: Mesh, method: Method, group: dist.ProcessGroup, hidden: Tensor
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
