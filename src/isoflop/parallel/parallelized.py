"""`Parallelized`: this rank's part of a divided model, with the few verbs that a training step needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from isoflop.models import Batch
from isoflop.parallel.gradients import add_twins, add_up, clip_gradients
from isoflop.parallel.groups import Groups
from isoflop.parallel.holding import Holding
from isoflop.parallel.mesh import Method
from isoflop.parallel.portions import own_portion, predicted_tokens
from isoflop.parallel.stages import Part, forward_only, other_fields


class Parallelized(nn.Module):
    """A divided model: give it the global batch of a step, and it does this rank's share of the work.

    `named_parameters` gives each parameter the name that it has in the whole model, so that an optimiser finds its
    rule; `holdings` say which part of the whole each one is, and of `partial` ones the gradient is added up over tensor
    ranks.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        holdings: Sequence[Holding],
        partial: Sequence[Holding],
        *,
        groups: Groups,
        method: Method,
        schedule: Any = None,
    ) -> None:
        super().__init__()
        self.parts, self._parts = nn.ModuleList(parts), list(parts)
        self.holdings, self.groups, self.method, self.schedule = list(holdings), groups, method, schedule
        self.partial = list(partial)
        self.entry: nn.Module = parts[0]
        if schedule is None and not groups.is_sharded and groups.averaged_over > 1:
            # Position tables differ between context ranks, and DDP would make all buffers those of its first rank.
            tables = [name for name, _ in parts[0].named_buffers()]
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(parts[0], tables)
            self.__dict__["entry"] = DistributedDataParallel(
                parts[0],
                process_group=groups.averaged,
                init_sync=False,
                find_unused_parameters=bool(parts[0].model.shape.pooler),  # type: ignore[union-attr]  # only pairs use it
            )

    def named_parameters(self, *_args: Any, **_named: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """Each parameter of this rank once, under its name in the whole model."""
        return ((holding.name, holding.parameter) for holding in self.holdings)

    def fill(self, whole: Callable[[str, torch.Size], Tensor]) -> None:
        """Give every parameter its part of `whole(name, size)`, one whole weight in memory at a time."""
        for holding in self.holdings:
            holding.fill(whole(holding.name, holding.whole))

    def gradients(self, batch: Batch) -> float:
        """Add the gradients of the mean loss of the global `batch`; returns that loss, in nats per predicted token."""
        loss = self._work(batch, learn=True)
        if self.schedule is not None and not self.groups.is_sharded and self.groups.averaged_over > 1:
            add_up(self.holdings, self.groups.averaged, divide_by=self.groups.averaged_over)
        if self.partial:
            add_up(self.partial, self.groups.tensor)
        add_twins(self.holdings, self.groups.pipeline)
        return loss

    def whole_weights(self) -> dict[str, Tensor] | None:
        """Every whole weight, put together on the first process from the boxes of all; None on the others."""
        world, rank = dist.get_world_size(), dist.get_rank()
        mine = [(h.name, h.whole, [(box, box.of(h.part).cpu().clone()) for box in h.boxes()]) for h in self.holdings]
        everywhere: list[Any] | None = [None] * world if rank == 0 else None
        dist.gather_object(mine, everywhere)
        if everywhere is None:
            return None
        weights: dict[str, Tensor] = {}
        for name, size, boxes in (entry for held in everywhere for entry in held):
            whole = weights.setdefault(name, torch.full(size, torch.nan))
            for box, numbers in boxes:
                box.of_whole(whole).copy_(numbers)
        return weights

    @torch.no_grad()
    def loss(self, batch: Batch) -> float:
        """The mean loss of the global `batch` in nats per predicted token, without learning."""
        return self._work(batch, learn=False)

    @torch.no_grad()
    def sequence_losses(self, batch: Batch) -> Tensor:
        """The nats of each sequence of the global `batch` summed over its predicted tokens (B, float64), on every rank.

        Without learning, dropout and the labels of pairs.
        """
        was_training = self.training
        self.eval()
        for part in self._parts:
            part.by_sequence = True
        try:
            own = own_portion(batch, self.groups).to(self.device)
            losses = self._forward(own) if self.schedule is not None else self._accumulated(own, learn=False)
        finally:
            for part in self._parts:
                part.by_sequence = False
            self.train(was_training)
        nats_B = torch.zeros(len(batch.inputs), dtype=torch.float64, device=self.device)
        if losses:  # the rank has the head; ranks of a context have some tokens each
            first = self.groups.data_rank * len(own.inputs)
            nats_B[first : first + len(own.inputs)] = torch.cat(losses).double()
        return self._added_up(nats_B)

    def clip(self, most: float) -> float:
        """Clip the gradient of the whole model to the norm `most`; returns the norm before."""
        return clip_gradients(self.holdings, self.groups, most=most)

    def _work(self, batch: Batch, *, learn: bool) -> float:
        for part in self._parts:  # gradients will be averaged over ranks, so each rank's sum counts that many times
            part.per_target = self.groups.averaged_over / max(1, predicted_tokens(batch))
            part.per_pair = self.groups.averaged_over / len(batch.inputs)
        own = own_portion(batch, self.groups).to(self.device)
        losses = self._staged(own, learn) if self.schedule is not None else self._accumulated(own, learn)
        mean = torch.stack([loss.detach().double().sum() for loss in losses]).sum() if losses else torch.zeros(())
        return self._added_up(mean.double().to(self.device) / self.groups.averaged_over).item()

    def _added_up(self, value: Tensor) -> Tensor:
        """The sum over all ranks that work on other tokens or hold another stage."""
        for group in (self.groups.averaged, self.groups.pipeline):
            if group.size() > 1:
                dist.all_reduce(value, group=group)
        return value

    @property
    def device(self) -> torch.device:
        return self.holdings[0].parameter.device

    def _pieces(self, own: Batch) -> list[Batch]:
        return list(own.split(len(own.inputs) // self.method.micro_batches))

    def _accumulated(self, own: Batch, learn: bool) -> list[Tensor]:
        """Micro-batch by micro-batch; ranks meet in the backward pass of the last only."""
        pieces, losses = self._pieces(own), []
        for index, piece in enumerate(pieces):
            with self._meeting(index == len(pieces) - 1):
                loss = self.entry(piece.inputs, **other_fields(piece))
                if learn:
                    loss.backward()
            losses.append(loss)
        return losses

    def _meeting(self, last: bool) -> AbstractContextManager[None]:
        if isinstance(self.entry, FSDPModule):
            self.entry.set_requires_gradient_sync(last)
        if isinstance(self.entry, DistributedDataParallel) and not last:
            return self.entry.no_sync()
        return nullcontext()

    def _staged(self, own: Batch, learn: bool) -> list[Tensor]:
        if not learn:
            return self._forward(own)
        losses = list[Tensor]()
        first = (own.inputs,) if self.groups.pipeline.rank() == 0 else ()
        self.schedule.step(*first, target=own.targets, losses=losses, return_outputs=False, **other_fields(own))
        return losses

    def _forward(self, own: Batch) -> list[Tensor]:
        """Through all stages; the rank that has the head gets what comes out of it."""
        groups = self.groups
        return forward_only(self._parts, self._pieces(own), mesh=groups.mesh, method=self.method, group=groups.pipeline)
