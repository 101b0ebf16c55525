"""Time of attention in windows and blocks, against full causal attention and against the same pattern as a whole mask.

    python benchmarks/attention_patterns.py [ROUNDS]

Forward and backward of 2 sequences with 4 heads of 64 on one CPU thread, in float32; the ways take turns, and printed
are medians over rounds of processor time.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch

from isoflop.models.attention import attend
from isoflop.models.masks import View, self_view
from isoflop.models.near import NearView, near_view
from isoflop.shapes import ModelShape
from isoflop.shapes.switches import AttentionPattern

SETTINGS = ((512, 64), (1024, 64), (1024, 256), (2048, 128))
PATTERNS: tuple[AttentionPattern, ...] = ("window", "block")


def seconds(views: list[View | NearView], tokens: int, rounds: int) -> list[float]:
    """Median seconds of each view."""
    q, k, v = (torch.randn(2, 4, tokens, 64, requires_grad=True) for _ in range(3))
    taken: list[list[float]] = [[] for _ in views]
    for _ in range(rounds + 1):
        for times, view in zip(taken, views, strict=True):
            start = time.process_time()
            attend(q, k, v, view=view, scale=0.125).sum().backward()
            times.append(time.process_time() - start)
    return [statistics.median(times[1:]) for times in taken]


def main() -> None:
    """Print one line for each pattern, length and span."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.set_num_threads(1)
    print(f"{'pattern':8} {'tokens':>6} {'span':>5} {'full/near':>10} {'whole mask/near':>16}")
    for tokens, span in SETTINGS:
        for pattern in PATTERNS:
            shape = ModelShape(1, 256, 4, vocab=8, context=tokens, ffn=8, attention=pattern, attention_span=span)
            places = torch.zeros(2, tokens)
            near = near_view(shape, places, causal=True)
            assert near is not None
            views = [near, self_view(shape, places, causal=True), View(causal=True)]
            ours, masked, full = seconds(views, tokens, rounds)
            print(f"{pattern:8} {tokens:>6} {span:>5} {full / ours:>10.2f} {masked / ours:>16.2f}", flush=True)


if __name__ == "__main__":
    main()
