"""What the training program does, as far as memory and time can tell: its kernels and the state it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class StateBytes:
    """Bytes held per parameter: weights, gradients and the optimiser's state (two moments, and a master copy)."""

    weights: int = 4
    gradients: int = 4
    optimizer: int = 8

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer


TORCH_STATE = StateBytes()


@dataclass(frozen=True)
class Program:
    """A training program; the defaults are a compiled PyTorch program in mixed precision with 32-bit weights.

    `flash` never writes the scores (Dao et al. 2022, arXiv 2205.14135), at no more than `core_limit` FLOPs per second;
    `causal_skip` leaves out the masked half of them, `fused` does a norm or an activation in one pass over memory,
    `fused_loss` the loss, `dropout` is as in GPT-2. `element` is bytes per number in activations and collectives.
    `overlap_tensor` hides the collectives of tensor parallelism behind the matrix products, `overlap_data` those of
    data parallelism behind the backward pass. `joint_qkv` makes query, key and value in one product, so that all of it
    lives on beside what rotation copies. `loss_entries` logits exist at once (0: all of them). `drops_gradients` frees
    the gradients before each backward pass, so that what is alive differs from moment to moment.
    """

    flash: bool = True
    core_limit: float = math.inf
    causal_skip: bool = True
    fused: bool = True
    fused_loss: bool = True
    dropout: bool = False
    element: int = 2
    overlap_tensor: bool = False
    overlap_data: bool = True
    joint_qkv: bool = False
    loss_entries: int = 0
    drops_gradients: bool = False
    state: StateBytes = TORCH_STATE


PROGRAM = Program()
MEGATRON_2021 = Program(
    flash=False,
    causal_skip=False,
    dropout=True,
    overlap_data=False,
    state=StateBytes(weights=2, gradients=4, optimizer=12),
)
"""Megatron-LM as of Narayanan et al. 2021 (arXiv 2104.04473) and Korthikanti et al. 2022 (arXiv 2205.05198).

16-bit weights, 32-bit gradients, master copy and two moments: 18 bytes per parameter.
"""
MEGATRON = Program(overlap_tensor=True, state=StateBytes(weights=2, gradients=4, optimizer=12))
"""Megatron-LM today: flash attention, no dropout, collectives behind the matrix products."""
FLASH_2 = 335e12
"""FLOPs per second that FlashAttention-2 reaches at most, on any device (Dao 2023, arXiv 2307.08691, section 4.1)."""
EAGER = Program(fused=False, fused_loss=False, core_limit=FLASH_2)
"""PyTorch without compilation: every operation its own pass over memory."""
EAGER_CPU = Program(fused=False, fused_loss=False, element=4, joint_qkv=True, loss_entries=2**24, drops_gradients=True)
"""This project's own training step on a CPU: PyTorch without compilation, everything in 32 bits, the loss in chunks."""
