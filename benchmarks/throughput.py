"""Training throughput of our decoder beside a plain GPT-2 block model of the same shape, on one CPU thread.

    python benchmarks/throughput.py [ROUNDS] [STEPS]

The rival has GPT-2's layout (Radford et al. 2019): learned positions, LayerNorm with gains, GELU of four widths, one
matrix for q, k and v, a tied head, the layout of nanoGPT's model; no dropout, no biases. Ours is what a study trains:
rotary positions, SwiGLU of 8/3 widths, an untied head. Both models train in one process by turns, a whole step each
(forward, backward, clipping, AdamW), so that whatever else the machine does falls on both; printed are the medians over
rounds of tokens per second and of the ratio ours / GPT-2. Parameters are matrices that multiply, heads included.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.evaluation import batch_loss
from isoflop.models import Batch, build_model, parametrization
from isoflop.planning import Family
from isoflop.shapes import matmul_params
from isoflop.training import OptimizerConfig, build_optimizer


@dataclass(frozen=True)
class Setting:
    """One row of the table: the shape and the batch that both models train on."""

    layers: int
    width: int
    heads: int
    context: int
    vocab: int
    batch: int


SETTINGS = (
    Setting(6, 256, 4, 256, 4096, 16),
    Setting(2, 64, 2, 128, 4096, 16),
    *(Setting(3, width, 2, 128, 512, 16) for width in (32, 64, 96)),
)
"""The published comparison's two shapes, and three widths of the default study's family."""


class Gpt2Block(nn.Module):
    """LayerNorm, attention, LayerNorm, feed-forward, each added to the residual stream."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        width = setting.width
        self.heads = setting.heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        attended, feeding = self.norms
        q_BHTS, k_BHTS, v_BHTS = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(attended(x_BTD)).chunk(3, dim=-1)
        )
        y_BHTS = F.scaled_dot_product_attention(q_BHTS, k_BHTS, v_BHTS, is_causal=True)
        x_BTD = x_BTD + self.out(y_BHTS.transpose(1, 2).flatten(2))
        return x_BTD + self.down(F.gelu(self.up(feeding(x_BTD))))


class Gpt2(nn.Module):
    """Tokens (B, T) to logits (B, T, V)."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.embedding = nn.Embedding(setting.vocab, setting.width)
        self.positions = nn.Embedding(setting.context, setting.width)
        self.blocks = nn.Sequential(*(Gpt2Block(setting) for _ in range(setting.layers)))
        self.norm = nn.LayerNorm(setting.width, bias=False)
        self.head = nn.Linear(setting.width, setting.vocab, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.head.weight = self.embedding.weight

    def forward(self, batch: Batch) -> Tensor:
        tokens_BT = batch.inputs
        places_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        return self.head(self.norm(self.blocks(self.embedding(tokens_BT) + self.positions(places_T))))


def stepper(model: nn.Module, optimizer: torch.optim.Optimizer, rows_BT: Tensor) -> Callable[[], None]:
    """One whole training step of `model` on the same tokens each time."""

    def step() -> None:
        loss = batch_loss(model, Batch(rows_BT[:, :-1], rows_BT[:, 1:]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def compare(setting: Setting, *, rounds: int, steps: int) -> str:
    """A line of the table."""
    family = Family(setting.layers, setting.heads, setting.vocab, setting.context)
    shape = family.at(setting.width)
    ours, rules = build_model(shape, parametrization("u-mup"), base=shape, seed=0)
    plain = Gpt2(setting)
    rows_BT = torch.randint(setting.vocab, (setting.batch, setting.context + 1))
    run = (
        stepper(ours, build_optimizer(ours, rules, OptimizerConfig(lr=0.1)), rows_BT),
        stepper(plain, torch.optim.AdamW(plain.parameters(), lr=1e-3, fused=True), rows_BT),
    )
    for step in run:
        step()
    speeds: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        for which in (0, 1) if turn % 2 else (1, 0):
            start = time.process_time()
            for _ in range(steps):
                run[which]()
            speeds[which].append(steps * setting.batch * setting.context / (time.process_time() - start))
    ratio = statistics.median(one / other for one, other in zip(*speeds, strict=True))
    sizes = (
        matmul_params(shape),
        sum(p.numel() for p in plain.parameters() if p.dim() > 1) - plain.positions.weight.numel(),
    )
    name = f"{setting.layers}×{setting.width}, {setting.heads} heads, T {setting.context}, V {setting.vocab}"
    return (
        f"{name:34} {sizes[0]:>10,} {sizes[1]:>10,} {statistics.median(speeds[0]):>10,.0f} "
        f"{statistics.median(speeds[1]):>10,.0f} {ratio:>8.2f}"
    )


def main() -> None:
    """Print the table. Seconds are processor time of this process, so a busy machine moves the ratios little."""
    rounds, steps = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 7), (2, 3)))
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    print(f"{'shape':34} {'N ours':>10} {'N GPT-2':>10} {'ours tok/s':>10} {'GPT-2':>10} {'ours/it':>8}")
    for setting in SETTINGS:
        print(compare(setting, rounds=rounds, steps=steps), flush=True)


if __name__ == "__main__":
    main()
