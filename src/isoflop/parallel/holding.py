"""Which part of each whole weight a rank holds, as boxes: what first weights, checkpoints and resharding speak of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Shard


@dataclass(frozen=True)
class Run:
    """`length` neighbouring rows (or columns): where they start in the rank's part, and where in the whole."""

    here: int
    there: int
    length: int


@dataclass(frozen=True)
class Box:
    """A block of a weight: where it lies in the rank's part, where in the whole, and how large it is."""

    here: tuple[int, ...]
    there: tuple[int, ...]
    size: tuple[int, ...]

    def of(self, part: Tensor) -> Tensor:
        """The block, as a view of the rank's part."""
        return part[tuple(slice(start, start + n) for start, n in zip(self.here, self.size, strict=True))]

    def of_whole(self, whole: Tensor) -> Tensor:
        """The block, as a view of the whole weight."""
        return whole[tuple(slice(start, start + n) for start, n in zip(self.there, self.size, strict=True))]


@dataclass(frozen=True)
class Division:
    """How tensor parallelism divides a weight: along `dim`, each of `pieces` (sizes that add up) among all ranks.

    A weight that is several matrices in one (query, key and value; gate and value) has several pieces, so that each
    rank's part is the same several matrices with fewer heads or features.
    """

    dim: int
    pieces: tuple[int, ...]

    def runs(self, rank: int, degree: int) -> list[Run]:
        """The rank's runs along `dim`; where a piece doesn't divide, the last ranks hold less."""
        runs, here, there = [], 0, 0
        for piece in self.pieces:
            start, length = share(piece, rank, degree)
            runs.append(Run(here, there + start, length))
            here, there = here + length, there + piece
        return runs


def share(size: int, rank: int, degree: int) -> tuple[int, int]:
    """Start and length of a rank's share of `size` rows, as `torch.chunk` divides them (FSDP2 does so too)."""
    each = -(-size // degree)
    start = min(rank * each, size)
    return start, min(each, size - start)


@dataclass(frozen=True)
class Holding:
    """A parameter of this rank: its name in the whole model, the whole's size, and how tensor ranks divide it.

    `twin` is the pipeline rank that holds the same numbers too, where embedding and head share them.
    """

    name: str
    parameter: nn.Parameter
    whole: torch.Size
    division: Division | None = None
    tensor_rank: int = 0
    tensor_degree: int = 1
    twin: int | None = None

    @property
    def part(self) -> Tensor:
        """The numbers that lie on this rank."""
        return local(self.parameter.detach())

    def boxes(self) -> list[Box]:
        """Where the rank's part lies in the whole; empty where the rank holds nothing of it."""
        runs = [[Run(0, 0, length)] for length in self.whole]
        if self.division is not None:
            runs[self.division.dim] = self.division.runs(self.tensor_rank, self.tensor_degree)
        if isinstance(self.parameter, DTensor):
            runs[0] = list(_cut(runs[0], *_sharded_rows(self.parameter)))
        return [
            Box(tuple(r.here for r in chosen), tuple(r.there for r in chosen), tuple(r.length for r in chosen))
            for chosen in product(*runs)
            if all(r.length for r in chosen)
        ]

    def fill(self, whole: Tensor) -> None:
        """Take this rank's part from the whole weight."""
        with torch.no_grad():
            for box in self.boxes():
                box.of(self.part).copy_(box.of_whole(whole))


def local(tensor: Tensor) -> Tensor:
    """What lies on this rank of a tensor that FSDP may have divided."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _sharded_rows(tensor: DTensor) -> tuple[int, int]:
    """Start and length of this rank's rows of a tensor that FSDP2 divided."""
    for axis, placement in enumerate(tensor.placements):
        if isinstance(placement, Shard):
            return share(tensor.shape[0], tensor.device_mesh.get_local_rank(axis), tensor.device_mesh.size(axis))
    return 0, tensor.shape[0]


def _cut(runs: Sequence[Run], start: int, length: int) -> Iterator[Run]:
    """The part of `runs` that lies in rows start … start + length of what they make up, counted from there."""
    for run in runs:
        first, last = max(run.here, start), min(run.here + run.length, start + length)
        if first < last:
            yield Run(first - start, run.there + first - run.here, last - first)
