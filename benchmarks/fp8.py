"""Does training in simulated FP8 cost loss, without any loss scaling? u-μP and SP, each against bf16.

Run: python benchmarks/fp8.py [steps]. A decoder (4 layers × 64, 4 heads, T 64, V 512) on the default corpus. The
hidden matrices' operands are cast to E4M3, the gradients of their outputs to E5M2 (bf16 for the baseline). u-μP's casts
use the scales that its theory gives; SP has no such scales, and its casts take the numbers as they are.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator

from isoflop.data import CausalBatches, CorpusConfig, TokenData, TokenizerConfig, prepare_tokens, validation_batch
from isoflop.evaluation import validation_loss
from isoflop.models import build_model, parametrization
from isoflop.models.low_precision import BF16, FP8, Precision, lower_precision, unit_scales
from isoflop.shapes import ModelShape
from isoflop.study.preparation import cache_folder
from isoflop.training import OptimizerConfig, build_optimizer
from isoflop.training.loop import train_steps
from isoflop.training.processor import processor_settings

SHAPE = ModelShape(layers=4, width=64, heads=4, vocab=512, context=64, ffn=168, norm="plain")
BATCH, WARMUP, COOLDOWN, SEEDS = 16, 0.1, 0.5, 2
RATES = {"u-mup": 1.0, "sp": 2.0**-8}
"""Each near its best at this size (docs/transfer.md)."""


def trained_loss(name: str, precision: Precision, data: TokenData, *, steps: int, seed: int) -> float:
    """Validation loss in nats per token after `steps`."""
    shape = dataclasses.replace(SHAPE, vocab=data.vocab)
    table = parametrization(name)
    model, rules = build_model(shape, table, base=shape, seed=seed)
    sizes = {weight: tuple(value.shape) for weight, value in model.named_parameters()}
    predicted = BATCH * shape.context
    scales = unit_scales(sizes, table, shape=shape, predicted=predicted) if table.unit_scaled else None
    lower_precision(model, precision, scales)
    optimizer = build_optimizer(model, rules, OptimizerConfig(lr=RATES[name]))
    batches = CausalBatches(data.train(), shape.context, BATCH, seed)

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / (WARMUP * steps), (steps - step) / (COOLDOWN * steps))

    for _ in train_steps(model, batches, optimizer=optimizer, steps=range(steps), lr_factor=factor):
        pass
    return validation_loss(model, validation_batch(data.valid(), context=shape.context, count=512)).nats


def rows(data: TokenData, steps: int) -> Iterator[str]:
    """A line for each parametrisation and seed."""
    for name in RATES:
        for seed in range(SEEDS):
            full, low = (trained_loss(name, one, data, steps=steps, seed=seed) for one in (BF16, FP8))
            yield f"{name:8} {seed:>4} {full:>10.4f} {low:>10.4f} {100 * (low / full - 1):>+9.2f} %"


def main() -> None:
    """Print the table."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    data, _ = prepare_tokens(CorpusConfig(), TokenizerConfig(), cache=cache_folder())
    print(f"{'':8} {'seed':>4} {'bf16 loss':>10} {'fp8 loss':>10} {'fp8/bf16-1':>11}   after {steps} steps")
    with processor_settings(1):
        for row in rows(data, steps):
            print(row, flush=True)


if __name__ == "__main__":
    main()
