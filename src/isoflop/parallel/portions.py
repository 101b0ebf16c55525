"""Which rows and tokens of the global batch fall to a rank: a function of its place in the mesh alone."""

from __future__ import annotations

from isoflop.models import IGNORED, Batch
from isoflop.parallel.groups import Groups


def own_portion(batch: Batch, groups: Groups) -> Batch:
    """This rank's sequences of the global `batch`, and of those its tokens; which documents they are of stays whole,
    since attention sees the whole sequence."""
    rows = len(batch.inputs) // groups.mesh.data
    mine = slice(groups.data_rank * rows, (groups.data_rank + 1) * rows)
    batch = Batch._make(None if part is None else part[mine] for part in batch)
    if groups.mesh.context == 1:
        return batch
    length = batch.inputs.shape[1] // groups.mesh.context
    tokens = slice(groups.context.rank() * length, (groups.context.rank() + 1) * length)
    segments = None if batch.segments is None else batch.segments[:, tokens]
    return batch._replace(inputs=batch.inputs[:, tokens], targets=batch.targets[:, tokens], segments=segments)


def predicted_tokens(batch: Batch) -> int:
    """How many targets of the global batch count: what the sum of losses is divided by on every rank."""
    return int((batch.targets != IGNORED).sum())
