"""How the processor is set while training, and as it was afterwards."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX, LARGEST = -1, -4, 2**31 - 1
"""Numbers of mallopt(3), and its largest."""
SHORT_STEP = 1e9
"""FLOPs of a step, some ten milliseconds of one core, below which threads wait for each other longer than they work,
the more so on a machine that has other work."""


def threads_for(step_flops: float, cores: int) -> int:
    """How many of `cores` to compute on where nobody says: all, or one for steps that are short."""
    return 1 if step_flops < SHORT_STEP else cores


def keep_freed_blocks() -> None:
    """Let the C library keep large blocks that are freed for the next ones, which a step asks for again and again: else
    each is taken from the system anew, and its pages are made zero, for a quarter of a step's time. Not where the user
    has set the library's heap (MALLOC_…), nor where it is no glibc."""
    if any(name.startswith("MALLOC_") for name in os.environ) or platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, LARGEST)


@contextmanager
def processor_settings(threads: int) -> Iterator[None]:
    """Compute on `threads` threads with denormal numbers flushed to zero (they are slow, and Adam's second moments
    hold many); both are settings of the whole process, so they are put back for whoever computes next. The C library's
    heap, which `keep_freed_blocks` sets, stays as it is then."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    keep_freed_blocks()
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)
