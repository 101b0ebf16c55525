"""How a plan's training is divided over the processes that were started."""

from __future__ import annotations

from typing import Any

from isoflop.errors import UserError
from isoflop.parallel import Mesh, Method, check_mesh
from isoflop.parallel.diloco import DiLoCo
from isoflop.parallel.mesh import PipelineSchedule, Recomputation, check_world
from isoflop.settings import settings_of
from isoflop.training.plan import Plan

SCHEDULES: dict[str, PipelineSchedule] = {
    "1f1b": "1f1b",
    "interleaved": "interleaved",
    "zero-bubble": "zbv-zero-bubble",
}
RECOMPUTATIONS: dict[str, Recomputation] = {
    "none": "none",
    "attention": "none",  # torch's attention keeps no scores
    "half": "selective",
    "full": "full",
}
"""The planner's words, and this room's."""


def layout_of(plan: Plan, world: int) -> tuple[Mesh, Method]:
    """The mesh and method of `plan` for `world` processes, checked.

    From `[machine.mesh]` and `[machine.method]` where the plan has them; else the planner's `[machine.layout]` where it
    is for so many devices; else the state is divided over all processes (`shard`). Raises `UserError`, a sentence for
    each thing that doesn't divide.
    """
    machine = plan.machine
    if "diloco" in machine:
        diloco_of(plan, world)
        return Mesh(replicate=world), Method()
    if "mesh" in machine or "method" in machine:
        mesh = settings_of(Mesh, machine.get("mesh", {}), source="[machine.mesh]")
        method = settings_of(Method, machine.get("method", {}), source="[machine.method]")
    elif "layout" in machine and machine.get("devices") == world:
        mesh, method = _planned(machine["layout"], plan.batch)
    else:
        mesh, method = Mesh(shard=world), Method()
    if method.micro_batches == 1 and plan.train.accumulate > 1:
        method = Method(**{**vars(method), "micro_batches": plan.train.accumulate})
    check_world(mesh, world)
    check_mesh(mesh, method, shape=plan.shape, batch=plan.batch)
    _refuse_what_needs_whole_weights(plan, mesh)
    return mesh, method


def diloco_of(plan: Plan, world: int) -> DiLoCo:
    """The plan's `[machine.diloco]`, checked for `world` workers. Raises `UserError`."""
    settings = settings_of(DiLoCo, plan.machine["diloco"], source="[machine.diloco]")
    if settings.every > plan.steps:
        raise UserError(f"machine.diloco.every is {settings.every}, but the run has {plan.steps} steps: lower it.")
    if plan.batch % world:
        raise UserError(f"A batch of {plan.batch} sequences can't be divided over {world} workers of DiLoCo.")
    if plan.batch // world < plan.train.accumulate:
        raise UserError(f"train.accumulate is {plan.train.accumulate}: a worker has {plan.batch // world} sequences.")
    if "mesh" in plan.machine or "method" in plan.machine:
        raise UserError("machine.diloco goes with no machine.mesh or machine.method: a worker holds the whole model.")
    if "checkpoints" in plan.machine:
        raise UserError("machine.diloco keeps its checkpoints in --out: leave out machine.checkpoints.")
    if plan.train.ema or plan.train.on_bad_step != "stop":
        raise UserError("machine.diloco goes with no train.ema, and with train.on_bad_step = 'stop' only.")
    return settings


def _planned(layout: dict[str, Any], sequences: int) -> tuple[Mesh, Method]:
    """The planner's layout. ZeRO-1 becomes FSDP2: the same numbers, less memory."""
    if layout.get("expert", 1) > 1:
        raise UserError("The plan's layout divides experts, which can be planned but not trained: set expert to 1.")
    data, divided = layout["data"], layout["shard"] != "none"
    mesh = Mesh(
        replicate=1 if divided else data,
        shard=data if divided else 1,
        tensor=layout["tensor"],
        context=layout["context"],
        pipeline=layout["pipeline"],
    )
    method = Method(
        sequence=layout["sequence"],
        schedule=SCHEDULES[layout["schedule"]],
        micro_batches=max(1, sequences // (data * layout["micro_batch"])),
        recompute=RECOMPUTATIONS[layout["recompute"]],
    )
    return mesh, method


def _refuse_what_needs_whole_weights(plan: Plan, mesh: Mesh) -> None:
    if plan.optimizer.name == "muon" and (mesh.shard > 1 or mesh.tensor > 1):
        raise UserError("Muon needs whole matrices: train with adamw, or with machine.mesh.replicate alone.")
    if plan.train.ema:
        raise UserError("train.ema keeps a second copy of whole weights, for one process only: leave it out.")
