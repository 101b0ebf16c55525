"""A fit is the same to the last bit whenever it is made again with its seed, on one thread as on two."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np, isoflop as iso
rng = np.random.default_rng(0)
def table(count):
    n = np.exp(rng.uniform(16, 23, count)); d = n * np.exp(rng.uniform(1, 5, count))
    loss = (1.8 + 480 / n**0.35 + 2100 / d**0.37) * np.exp(0.005 * rng.standard_normal(count))
    return iso.Runs({"params": n, "tokens": d, "loss": loss, "trunk": (np.arange(count) // 3).astype(str)})
for count, scheme in ((12, None), (60, "residuals"), (300, None), (20_000, None)):
    print(iso.fit(table(count), "chinchilla", draws=300, resample=scheme, seed=7).to_json())
"""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def outcome(threads: int, **more: str) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        **dict.fromkeys(THREADS, str(threads)),
        **more,
    }
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, check=True)
    return hashlib.sha256(done.stdout).hexdigest()


@pytest.mark.slow
def test_one_thread_or_two_or_again_give_the_same_bits() -> None:
    assert outcome(1) == outcome(2) == outcome(2)


@pytest.mark.slow
def test_the_same_without_compiled_code() -> None:
    assert outcome(1, ISOFLOP_NO_NUMBA="1") == outcome(2, ISOFLOP_NO_NUMBA="1")
