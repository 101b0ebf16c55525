"""One process of a world: trains every layout of its size, goes on from checkpoints, and leaves what came out."""

from __future__ import annotations

import faulthandler
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from isoflop.parallel import Parallelized, make_groups, parallelize, processes, weights_on_meta
from parallel.layouts import BATCH, COMPILED, LAYOUTS, STEPS, Layout, Outcome, RandomBatches, a_model, per_token, train
from parallel.resuming import RESUMING, SAVING, resume, save

LONGEST_SECONDS = 100
"""A layout that takes longer hangs: the process shows where, and ends."""


def divided(layout: Layout) -> Outcome:
    """The same in this world, starting from weights on meta."""
    groups = make_groups(layout.mesh)
    with weights_on_meta():
        plain, rules = a_model(layout)
    model = parallelize(plain, groups, method=layout.method, batch=BATCH)
    first = dict(a_model(layout)[0].named_parameters())
    model.fill(lambda name, _size: first[name])
    done = list(train(model, rules, shape=layout.shape, gradients=model.gradients, clip=model.clip))
    batch = RandomBatches(layout.shape).at(STEPS)
    after = [model.loss(batch), *per_token(model.sequence_losses(batch), batch)]
    return Outcome([*(a for a, _ in done), *after], [b for _, b in done], whole_weights(model))


def whole_weights(model: Parallelized) -> dict[str, Tensor]:
    """Every whole weight, put together from the boxes of all ranks."""
    held = [(h.name, h.whole, [(box, box.of(h.part).detach().clone()) for box in h.boxes()]) for h in model.holdings]
    everywhere: list[list[tuple[str, torch.Size, list]]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(everywhere, held)
    weights: dict[str, Tensor] = {}
    for name, size, boxes in (entry for rank in everywhere for entry in rank):
        whole = weights.setdefault(name, torch.full(size, torch.nan))
        for box, numbers in boxes:
            box.of_whole(whole).copy_(numbers)
    return weights


def main(folder: Path, kind: str) -> None:
    """Train the layouts of this world's size, then those that go on from what four processes saved."""
    results: dict[str, Outcome] = {}
    continued: dict[str, list[float]] = {}
    with processes(timeout_seconds=600 if kind == "compiled" else 90) as world:
        for layout in COMPILED if kind == "compiled" else LAYOUTS:
            if layout.mesh.world == world:
                faulthandler.dump_traceback_later(LONGEST_SECONDS * (1 + 4 * layout.method.compile), exit=True)
                results[layout.name] = divided(layout)
        if kind == "all":
            if world == SAVING.mesh.world:
                continued[SAVING.name] = save(folder)
            for layout in RESUMING[world]:
                faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
                continued[layout.name] = resume(layout, folder)
        faulthandler.cancel_dump_traceback_later()
        if dist.get_rank() == 0:
            torch.save((results, continued), folder / f"{world}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2])
