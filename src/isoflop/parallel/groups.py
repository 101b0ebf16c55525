"""The process groups of a mesh: which ranks share a sum, and where this rank stands among them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from isoflop.parallel.mesh import Mesh, check_world

AXES = ("pipeline", "replicate", "shard", "context", "tensor")
"""Of the ranks in their order, outermost first: neighbours are tensor ranks."""


@dataclass(frozen=True)
class Groups:
    """This rank's groups along each axis of `mesh`; an axis of one rank has a group of one.

    `data_mesh` has the axes replicate and fully (shard × context: context ranks hold the same weights, so their state
    is divided too); `averaged` are the ranks over which gradients are averaged.
    """

    mesh: Mesh
    tensor: dist.ProcessGroup
    context: dist.ProcessGroup
    pipeline: dist.ProcessGroup
    fully: dist.ProcessGroup
    averaged: dist.ProcessGroup
    data_mesh: DeviceMesh
    data_rank: int
    """Which rows of a batch this rank works on, of `mesh.data`."""

    @property
    def averaged_over(self) -> int:
        return self.mesh.data * self.mesh.context

    @property
    def is_sharded(self) -> bool:
        return self.mesh.shard > 1


def make_groups(mesh: Mesh, *, device: str = "cpu") -> Groups:
    """Make the groups of `mesh`; every rank must call this. Raises `UserError` for a wrong number of processes.

    Axes that put the same ranks together share a group: each one keeps threads that wake a hundred times a second.
    """
    check_world(mesh, dist.get_world_size())
    sizes = {axis: getattr(mesh, axis) for axis in AXES}
    ranks = torch.arange(mesh.world).view(*sizes.values())
    made: dict[str, dist.ProcessGroup] = {}

    def along(*axes: str) -> dist.ProcessGroup:
        others = [axis for axis in AXES if axis not in axes]
        members = ranks.permute(*(AXES.index(axis) for axis in (*others, *axes)))
        each = members.reshape(-1, math.prod(sizes[axis] for axis in axes)).tolist()
        if str(each) not in made:
            made[str(each)], _ = dist.new_subgroups_by_enumeration(each)
        return made[str(each)]

    kind, fully = device.partition(":")[0], along("shard", "context")
    data_mesh = DeviceMesh.from_group(fully, kind, mesh_dim_names=("fully",))
    if mesh.replicate > 1:
        place = torch.nonzero(ranks == dist.get_rank())[0]
        mine = ranks[place[0], :, :, :, place[4]].flatten(1)
        names = ("replicate", "fully")
        data_mesh = DeviceMesh.from_group([along("replicate"), fully], kind, mine, mesh_dim_names=names)
    return Groups(
        mesh=mesh,
        tensor=along("tensor"),
        context=along("context"),
        pipeline=along("pipeline"),
        fully=fully,
        averaged=along("replicate", "shard", "context"),
        data_mesh=data_mesh,
        data_rank=dist.get_rank() // (mesh.context * mesh.tensor) % mesh.data,
    )


@contextmanager
def processes(*, device: str = "cpu", timeout_seconds: float = 600.0) -> Iterator[int]:
    """Join the other processes that `torchrun` started (its variables say where they are); yields their number.

    Each process computes on one thread unless OMP_NUM_THREADS says otherwise. The barrier at the end is needed: a rank
    that leaves while another still speaks to it may abort after its work was done.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    timeout = timedelta(seconds=timeout_seconds)
    store, rank, world = next(rendezvous("env://", timeout=timeout))
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
        # The launcher's store outlives a restart, and in it the addresses of processes that are dead: with them the new
        # ones wait for each other for ever. Of several launchers the counts may differ; they start a store anew.
        store = PrefixStore(f"restart-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=timeout)
    try:
        yield dist.get_world_size()
        dist.barrier()
    finally:
        dist.destroy_process_group()
