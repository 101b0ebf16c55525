"""Training that saves on the way, and training that goes on from what another layout saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from isoflop.parallel import (
    Checkpoints,
    Groups,
    Mesh,
    Method,
    Parallelized,
    make_groups,
    parallelize,
    weights_on_meta,
)
from parallel.layouts import BATCH, STEPS, TIED, Layout, Outcome, a_model, an_optimizer, outcome, train

MakeGroups = Callable[[Mesh], Groups]
SAVED_AT = 2
SAVING = Layout("TP 2 × FSDP2 2", Mesh(tensor=2, shard=2))
SAVING_TIED = Layout("PP 2 × FSDP2 2, tied", Mesh(pipeline=2, shard=2), Method(micro_batches=2), TIED)
AGAIN = Layout("TP 2 × FSDP2 2, as before", SAVING.mesh)
ONE = Layout("one process", Mesh())
RESUMING = {
    1: (ONE,),
    2: (
        Layout("DDP 2", Mesh(replicate=2)),
        Layout("FSDP2 2", Mesh(shard=2)),
        Layout("TP 2", Mesh(tensor=2), Method(sequence=False)),
        Layout("PP 2, interleaved", Mesh(pipeline=2), Method(micro_batches=2, schedule="interleaved")),
        Layout("CP 2, Ulysses", Mesh(context=2)),
        Layout("TP 2, tied", Mesh(tensor=2), shape=TIED),
    ),
    4: (
        AGAIN,
        Layout("PP 4, tied", Mesh(pipeline=4), Method(micro_batches=4), TIED),
        Layout("HSDP 2×2", Mesh(replicate=2, shard=2)),
        Layout("PP 2 × TP 2", Mesh(pipeline=2, tensor=2), Method(micro_batches=4)),
        Layout("CP 2 × FSDP2 2", Mesh(context=2, shard=2)),
    ),
    8: (
        Layout("TP 4 × DDP 2", Mesh(tensor=4, replicate=2)),
        Layout("FSDP2 8", Mesh(shard=8)),
        Layout("PP 2 × TP 2 × FSDP2 2", Mesh(pipeline=2, tensor=2, shard=2), Method(micro_batches=2)),
    ),
}
"""By number of processes, the layouts that go on from what `SAVING` left, or of tied ones `SAVING_TIED`."""


def start(layout: Layout, make: MakeGroups = make_groups) -> tuple[Parallelized, torch.optim.Optimizer]:
    """The layout's model without first weights, and its optimiser."""
    with weights_on_meta():
        plain, rules = a_model(layout)
    model = parallelize(plain, make(layout.mesh), method=layout.method, batch=BATCH)
    model.fill(lambda _name, size: torch.full(size, torch.nan))
    return model, an_optimizer(model, rules, layout.shape)


def train_on(model: Parallelized, optimizer: torch.optim.Optimizer, steps: range) -> list[tuple[float, float]]:
    """Loss and gradient norm of each of `steps`; all shapes here take the same batches."""
    return list(train(optimizer, batches=SAVING.batches, gradients=model.gradients, clip=model.clip, steps=steps))


def saver_of(layout: Layout) -> Layout:
    """Whose checkpoint `layout` goes on from."""
    return SAVING_TIED if layout.shape.tied else SAVING


def save(layout: Layout, folder: Path, make: MakeGroups = make_groups) -> Outcome:
    """Train to the end, saving on the way: while the files are written, training goes on changing the weights."""
    model, optimizer = start(layout, make)
    first = dict(a_model(layout)[0].named_parameters())
    model.fill(lambda name, _size: first[name])
    checkpoints = Checkpoints(folder / layout.name)
    done = train_on(model, optimizer, range(SAVED_AT))
    checkpoints.save(SAVED_AT, model, optimizer, {"seen": done})
    done += train_on(model, optimizer, range(SAVED_AT, STEPS))
    checkpoints.close()
    return outcome(model, done, layout.batches)


def resume(layout: Layout, folder: Path, make: MakeGroups = make_groups) -> Outcome:
    """Go on from what is in `folder` to the end."""
    model, optimizer = start(layout, make)
    checkpoints = Checkpoints(folder / saver_of(layout).name)
    found = checkpoints.load(model, optimizer)
    assert found is not None
    step, rest = found
    assert step == SAVED_AT
    seen = [(loss, norm) for loss, norm in rest["seen"]]
    done = seen + train_on(model, optimizer, range(step, STEPS))
    checkpoints.close()
    return outcome(model, done, layout.batches)
