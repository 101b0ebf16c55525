"""How the processor is set while training, and as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SHORT_STEP = 1e9
"""FLOPs of a step, some ten milliseconds of one core, below which threads wait for each other longer than they work,
the more so on a machine that has other work."""


def threads_for(step_flops: float, cores: int) -> int:
    """How many of `cores` to compute on where nobody says: all, or one for steps that are short."""
    return 1 if step_flops < SHORT_STEP else cores


@contextmanager
def processor_settings(threads: int) -> Iterator[None]:
    """Compute on `threads` threads with denormal numbers flushed to zero (they are slow, and Adam's second moments
    hold many); both are settings of the whole process, so they are put back for whoever computes next."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)
