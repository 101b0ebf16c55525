"""A training takes the threads that its steps can use, and keeps the memory that they ask for again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from isoflop.training.processor import SHORT_STEP, threads_for

FAULTS = """
import resource
import torch
from isoflop.training.processor import processor_settings

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(64 << 20, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with processor_settings(1):
    faults()
    print(faults())
"""


def test_short_steps_take_one_thread_and_others_all() -> None:
    assert threads_for(SHORT_STEP / 2, 8) == 1
    assert threads_for(SHORT_STEP * 2, 8) == 8


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap of another C library")
def test_blocks_that_are_freed_are_kept_unless_the_user_has_set_the_heap() -> None:
    def faults(**more: str) -> int:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | more
        done = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert faults() < 0.3 * faults(MALLOC_TRIM_THRESHOLD_="131072")
