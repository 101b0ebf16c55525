"""The numbers of a run as a checkpoint sees them: whole tensors by name, of which each rank has some boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex, TensorProperties
from torch.distributed.checkpoint.planner import TensorWriteData, WriteItem, WriteItemType

from isoflop.parallel.holding import Box, Holding, local

WEIGHT, STATE = "weight", "optimizer"


@dataclass(frozen=True)
class Boxed:
    """This rank's part of a whole tensor; has the methods by which `torch.distributed.checkpoint` writes and reads."""

    whole: torch.Size
    part: Tensor
    boxes: Sequence[Box]

    def size(self) -> torch.Size:
        """The whole tensor's."""
        return self.whole

    def copy(self) -> Boxed:
        """The same with numbers of its own, in main memory, so that training may go on while they are written."""
        return Boxed(self.whole, self.part.detach().to("cpu", copy=True), self.boxes)

    def shard_at(self, index: MetadataIndex) -> Tensor:
        """The box that lies at the offset of `index`."""
        return next(box.of(self.part) for box in self.boxes if box.there == tuple(index.offset or ()))

    def __create_write_items__(self, name: str, _tensor: Any) -> list[WriteItem]:
        properties = TensorProperties(dtype=self.part.dtype)
        return [
            WriteItem(
                index=MetadataIndex(name, chunk.offsets),
                type=WriteItemType.SHARD,
                tensor_data=TensorWriteData(chunk=chunk, properties=properties, size=self.whole),
            )
            for chunk in self.__create_chunk_list__()
        ]

    def __create_chunk_list__(self) -> list[ChunkStorageMetadata]:
        return [ChunkStorageMetadata(torch.Size(box.there), torch.Size(box.size)) for box in self.boxes]


def weights(holdings: Sequence[Holding]) -> dict[str, Boxed]:
    """The weights of a run by name."""
    return {f"{WEIGHT}/{h.name}": Boxed(h.whole, h.part, h.boxes()) for h in holdings}


def optimizer_state(holdings: Sequence[Holding], state: Mapping[Any, Mapping[str, Any]]) -> dict[str, Boxed]:
    """What an optimiser keeps for each weight: tensors that are divided as it is, or whole like the step's number."""
    found = {}
    for holding in holdings:
        for key, value in state.get(holding.parameter, {}).items():
            if isinstance(value, Tensor):
                found[f"{STATE}/{holding.name}/{key}"] = _like(holding, value)
    return found


def empty_optimizer_state(
    holdings: Sequence[Holding], state: Any, kinds: Mapping[str, tuple[torch.Size, torch.dtype]]
) -> dict[str, Boxed]:
    """Make room in `state` for what a checkpoint has of each weight (`kinds`: name → size, dtype), and return it."""
    known = {name.removeprefix(f"{STATE}/"): kind for name, kind in kinds.items() if name.startswith(f"{STATE}/")}
    for holding in holdings:
        room: dict[str, Tensor] = {}
        for name, (size, dtype) in known.items():
            owner, _, key = name.rpartition("/")
            if owner == holding.name:
                divided = size == holding.whole
                room[key] = (
                    torch.zeros_like(holding.parameter, dtype=dtype) if divided else torch.zeros(size, dtype=dtype)
                )
        state[holding.parameter] = room
    return optimizer_state(holdings, state)


def whole_tensor(value: Tensor) -> Boxed:
    """A tensor that every rank holds whole."""
    origin = (0,) * value.dim()
    return Boxed(value.shape, value, [Box(origin, origin, tuple(value.shape))])


def _like(holding: Holding, value: Tensor) -> Boxed:
    if value.shape == holding.parameter.shape and value.dim():
        return Boxed(holding.whole, local(value.detach()), holding.boxes())
    return whole_tensor(value)
