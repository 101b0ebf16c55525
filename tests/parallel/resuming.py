"""Training that saves on the way, and training that goes on from what another layout saved."""

from __future__ import annotations

from pathlib import Path

import torch

from isoflop.parallel import (
    Checkpoints,
    Mesh,
    Method,
    Parallelized,
    make_groups,
    parallelize,
    weights_on_meta,
)
from parallel.layouts import BATCH, CLIP, DECODER, Layout, RandomBatches, a_model, an_optimizer

SAVED_AT, LAST = 3, 6
SAVING = Layout("TP 2 × FSDP2 2", Mesh(tensor=2, shard=2))
RESUMING = {
    2: (
        Layout("FSDP2 2", Mesh(shard=2)),
        Layout("TP 2", Mesh(tensor=2), Method(sequence=False)),
        Layout("PP 2, interleaved", Mesh(pipeline=2), Method(micro_batches=2, schedule="interleaved")),
    ),
    4: (
        Layout("PP 2 × TP 2", Mesh(pipeline=2, tensor=2), Method(micro_batches=4)),
        Layout("CP 2 × FSDP2 2", Mesh(context=2, shard=2)),
    ),
    8: (
        Layout("TP 4 × HSDP 2", Mesh(tensor=4, replicate=2)),
        Layout("PP 2 × TP 2 × FSDP2 2", Mesh(pipeline=2, tensor=2, shard=2), Method(micro_batches=2)),
    ),
}


def start(layout: Layout) -> tuple[Parallelized, torch.optim.Optimizer]:
    """The layout's model without first weights, and its optimiser."""
    with weights_on_meta():
        plain, rules = a_model(layout)
    model = parallelize(plain, make_groups(layout.mesh), method=layout.method, batch=BATCH)
    model.fill(lambda _name, size: torch.full(size, torch.nan))
    return model, an_optimizer(model, rules, layout.shape)


def train_on(model: Parallelized, optimizer: torch.optim.Optimizer, steps: range) -> list[float]:
    """The losses of `steps`."""
    losses = []
    for step in steps:
        optimizer.zero_grad()
        losses.append(model.gradients(RandomBatches(DECODER).at(step)))
        model.clip(CLIP)
        optimizer.step()
    return losses


def save(folder: Path) -> list[float]:
    """Train to the end, saving on the way: while the files are written, training goes on changing the weights."""
    model, optimizer = start(SAVING)
    first = dict(a_model(SAVING)[0].named_parameters())
    model.fill(lambda name, _size: first[name])
    checkpoints = Checkpoints(folder)
    losses = train_on(model, optimizer, range(SAVED_AT))
    checkpoints.save(SAVED_AT, model, optimizer, {"seen": losses})
    losses += train_on(model, optimizer, range(SAVED_AT, LAST))
    checkpoints.close()
    return losses


def resume(layout: Layout, folder: Path) -> list[float]:
    """Go on from what is in `folder` to the end."""
    model, optimizer = start(layout)
    checkpoints = Checkpoints(folder)
    found = checkpoints.load(model, optimizer)
    assert found is not None
    step, rest = found
    losses = [*rest["seen"], *train_on(model, optimizer, range(step, LAST))]
    checkpoints.close()
    return losses
