"""In which precision a run computes, and whether its blocks are compiled: chosen by rule from what was measured.

The rule's numbers were measured on one core with AVX512-BF16 (docs/log.md; docs/benchmarks.md, "Training").
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import nn

from isoflop.shapes import ModelShape, train_flops_per_token

M = TypeVar("M", bound=nn.Module)
BF16_FROM = 5e5
"""FLOPs of a training token from which bf16 is chosen: below, it gains less than a quarter and the run takes seconds
anyway, so its numbers may as well be exact."""
COMPILE_FROM = {"cpu": 5e13, "cuda": 1e16}
"""FLOPs of a run from which compiling pays: some minutes' work, of which compiled blocks save an eighth to a quarter
on a processor, against up to a minute for compiling. The figure for CUDA is not measured: minutes at 100 TFLOP/s."""


@dataclass(frozen=True)
class Choice:
    """How a run computes: dtype of matrix products (weights, residual stream and optimiser stay fp32), and why."""

    dtype: Literal["fp32", "bf16"] = "fp32"
    compiled: bool = False
    why: str = "as asked"

    def __str__(self) -> str:
        return f"{self.dtype}, {'compiled' if self.compiled else 'eager'}: {self.why}"


def choose(shape: ModelShape, steps: int, *, batch: int, device: str = "cpu") -> Choice:
    """The fastest way found to train `shape` for `steps` of `batch` sequences on `device`."""
    kind = torch.device(device).type
    token = train_flops_per_token(shape)
    work = float(token) * steps * batch * shape.context
    if token < BF16_FROM:
        return Choice(why=f"{token:.1e} FLOPs a token are too few for more")
    dtype: Literal["fp32", "bf16"] = "bf16" if multiplies_in_bf16(kind) else "fp32"
    reason = f"this {kind} multiplies {'fastest' if dtype == 'bf16' else 'only'} in {dtype}"
    if kind not in COMPILE_FROM or work < COMPILE_FROM[kind]:
        return Choice(dtype, False, f"{reason}; {work:.1e} FLOPs are too few for compiling to pay")
    if kind == "cpu" and not has_compiler():
        return Choice(dtype, False, f"{reason}; no C++ compiler found")
    return Choice(dtype, True, f"{reason}; compiling pays in a run of {work:.1e} FLOPs")


def multiplies_in_bf16(kind: str) -> bool:
    """Whether a device of this kind has instructions for it here: emulated, bf16 is slower than fp32."""
    if kind == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu":
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def has_compiler() -> bool:
    """Whether torch's compiler finds the C++ compiler that it needs on a processor."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))


def set_precision(model: M, choice: Choice) -> M:
    """Let `model` compute as chosen, in place; names, weights and state dict stay as they are.

    The loss reads `compute_dtype`. Blocks are compiled one by one: alike in code, they share one compilation.
    """
    model.compute_dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[choice.dtype]  # type: ignore[assignment]
    if choice.compiled:
        for name, module in model.named_modules():
            if name.rpartition(".")[0].endswith("blocks"):
                module.compile(dynamic=False)
    return model
