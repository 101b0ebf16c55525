"""Batches of which some are bad: noise that no model expects, or nothing to predict, whose mean loss is no number."""

from __future__ import annotations

import torch

from isoflop.models import IGNORED, Batch
from isoflop.training.loop import Batches
from isoflop.training.spikes import BadSteps, BatchesKept


def poisoned(noise: set[int], empty: set[int]) -> type:
    """A `BatchesKept` over a loader whose batches of these numbers are bad."""

    class Poison:
        def __init__(self, batches: Batches) -> None:
            self.batches = batches

        def at(self, step: int) -> Batch:
            batch = self.batches.at(step)
            if step in empty:
                return batch._replace(targets=torch.full_like(batch.targets, IGNORED))
            if step in noise:
                draw = torch.Generator().manual_seed(step)
                return batch._replace(targets=torch.randint(200, 256, batch.targets.shape, generator=draw))
            return batch

    def kept(batches: Batches, bad_steps: BadSteps) -> BatchesKept:
        return BatchesKept(Poison(batches), bad_steps)

    return kept  # type: ignore[return-value]
