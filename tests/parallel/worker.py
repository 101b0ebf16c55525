"""One process of a world: trains every layout of its size, goes on from checkpoints, and leaves what came out."""

from __future__ import annotations

import faulthandler
import functools
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from isoflop.parallel import losses, make_groups, parallelize, processes, weights_on_meta
from parallel.layouts import BATCH, COMPILED, LAYOUTS, Layout, Outcome, a_model, an_optimizer, outcome, train
from parallel.resuming import RESUMING, SAVING, SAVING_TIED, resume, save

LONGEST_SECONDS = 900
"""A layout that takes longer hangs: the process shows where, and ends."""

groups_of = functools.cache(make_groups)
"""Each group has threads of its own that never rest: hundreds of them would leave no time for anything else."""


def divided(layout: Layout) -> Outcome:
    """What five steps come to in this world, starting from weights on meta."""
    groups = groups_of(layout.mesh)
    with weights_on_meta():
        plain, rules = a_model(layout)
    model = parallelize(plain, groups, method=layout.method, batch=BATCH)
    first = dict(a_model(layout)[0].named_parameters())
    model.fill(lambda name, _size: first[name])
    optimizer = an_optimizer(model, rules, layout.shape)
    done = list(train(optimizer, batches=layout.batches, gradients=model.gradients, clip=model.clip))
    return outcome(model, done, layout.batches)


def main(folder: Path, kind: str) -> None:
    """Train the layouts of this world's size, then those that go on from what four processes saved."""
    results: dict[str, Outcome] = {}
    continued: dict[str, Outcome] = {}
    with processes(timeout_seconds=LONGEST_SECONDS - 60) as world:
        for layout in COMPILED if kind == "compiled" else LAYOUTS:
            if layout.mesh.world == world:
                faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
                results[layout.name] = divided(layout)
        if kind == "all":
            for layout in (SAVING, SAVING_TIED) if world == SAVING.mesh.world else ():
                continued[layout.name] = save(layout, folder, groups_of)
            for layout in RESUMING[world]:
                faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
                continued[layout.name] = resume(layout, folder, groups_of)
        faulthandler.cancel_dump_traceback_later()
        if dist.get_rank() == 0:
            torch.save((results, continued), folder / f"{world}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    losses.ENTRIES = 1000  # so that even these small vocabularies take several chunks
    main(Path(sys.argv[1]), sys.argv[2])
