"""Compiled code is a matter of speed only: where it can't be had, or what is kept of it is damaged, fits go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import isoflop as iso
from isoflop.fitting import compiled
from isoflop.fitting.compiled import compiled_kernel, numba_is_there
from isoflop.fitting.evaluation import Batch, Kernel, numpy_kernel
from isoflop.fitting.kernels import WORTH_COMPILING, kernel_for
from isoflop.fitting.objectives import Huber
from isoflop.fitting.problem import Problem, build_problem


def problem_of(formula: str = "E + A / N**alpha", n: int = 50) -> Problem:
    sizes = np.geomspace(1e6, 1e9, n)
    runs = iso.Runs({"params": sizes, "loss": 2 + 40 / sizes**0.3})
    return build_problem(iso.Law(formula), runs, target="loss", objective=Huber(), space="log")


def test_the_kernel_follows_from_the_size_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "numba_is_there", lambda: True)
    monkeypatch.setattr(compiled, "can_compile", lambda _problem: True)
    assert kernel_for(problem_of(), WORTH_COMPILING // 50) is compiled_kernel
    assert kernel_for(problem_of(), WORTH_COMPILING // 50 - 1) is numpy_kernel


@pytest.mark.parametrize("cause", [ImportError, AttributeError, RuntimeError])
def test_a_broken_numba_is_gone_without(cause: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise cause("parts of numba do not fit together")

    monkeypatch.setattr(compiled, "numba_is_there", lambda: True)
    monkeypatch.setattr(compiled, "_function", broken)
    assert kernel_for(problem_of(), 10**6) is numpy_kernel


def sums(problem: Problem, kernel: Kernel) -> np.ndarray:
    batch = Batch.of_one(problem, kernel)
    value, gradient, _, _ = kernel(batch, np.array([[2.0, 40.0, 0.31]]), batch.members(1), 1e-3)
    return np.append(gradient, value)


@pytest.mark.slow
@pytest.mark.skipif(not numba_is_there(), reason="no numba")
@pytest.mark.parametrize("state", ["fresh", "kept", "damaged", "nowhere to keep it"])
def test_whatever_the_cache_is_like_the_sums_are_right(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOFLOP_CACHE", "/dev/null/nowhere" if state == "nowhere to keep it" else str(tmp_path))
    problem = problem_of()
    compiled._function.cache_clear()
    if state in ("kept", "damaged"):
        sums(problem, compiled_kernel)
        compiled._function.cache_clear()
    if state == "damaged":
        for path in (tmp_path / "kernels" / "__pycache__").iterdir():
            path.write_bytes(b"damaged")
        for path in (tmp_path / "kernels").glob("*.py"):
            path.write_text("raise SystemError('not what isoflop wrote')")
    np.testing.assert_allclose(sums(problem, compiled_kernel), sums(problem, numpy_kernel), rtol=1e-10)
    compiled._function.cache_clear()
