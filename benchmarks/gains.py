"""What rate do the gains of norms want under u-μP? No gains, our rule (η/√width), the package unit-scaling's (η).

Run: python benchmarks/gains.py [steps]. Decoders of 2 layers, T 64, V 512, on the default corpus.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping

from isoflop.data import CausalBatches, CorpusConfig, TokenData, TokenizerConfig, prepare_tokens, validation_batch
from isoflop.evaluation import validation_loss
from isoflop.models import Parametrization, build_model, parametrization
from isoflop.models.parametrization import ONE
from isoflop.shapes import ModelShape
from isoflop.shapes.switches import Norm
from isoflop.study.preparation import cache_folder
from isoflop.study.transfer import TransferConfig
from isoflop.training import OptimizerConfig, build_optimizer
from isoflop.training.loop import train_steps
from isoflop.training.processor import processor_settings

WIDTHS, RATES, BATCH = (32, 64), (0.5, 1.0, 2.0), 16


def with_gain_rate_of_the_package() -> Parametrization:
    """u-μP with gains that move at η·layers^(-1/2)."""
    table = parametrization("u-mup")
    gain = dataclasses.replace(table.rules["gain"], lr=ONE)
    return dataclasses.replace(table, rules={**table.rules, "gain": gain})


TABLES: Mapping[str, tuple[Norm, Parametrization]] = {
    "no gains": ("plain", parametrization("u-mup")),
    "gains, η/√width": ("rms", parametrization("u-mup")),
    "gains, η": ("rms", with_gain_rate_of_the_package()),
}


def trained_loss(shape: ModelShape, table: Parametrization, data: TokenData, *, rate: float, steps: int) -> float:
    """Validation loss in nats per token after `steps`."""
    model, rules = build_model(shape, table, base=shape, seed=0)
    optimizer = build_optimizer(model, rules, OptimizerConfig(lr=rate))
    batches = CausalBatches(data.train(), shape.context, BATCH, 0)
    for _ in train_steps(
        model,
        batches,
        optimizer=optimizer,
        steps=range(steps),
        lr_factor=lambda step: min(1.0, 10 * (step + 1) / steps, 2 * (steps - step) / steps),
    ):
        pass
    return validation_loss(model, validation_batch(data.valid(), context=shape.context, count=512)).nats


def main() -> None:
    """Print the table."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    data, _ = prepare_tokens(CorpusConfig(), TokenizerConfig(), cache=cache_folder())
    print(f"{'':16} {'width':>5} " + " ".join(f"{f'η {rate:g}':>8}" for rate in RATES))
    with processor_settings(1):
        for name, (norm, table) in TABLES.items():
            for width in WIDTHS:
                shape = dataclasses.replace(TransferConfig().shape(width, 2, data.vocab), norm=norm)
                losses = [trained_loss(shape, table, data, rate=rate, steps=steps) for rate in RATES]
                print(f"{name:16} {width:>5} " + " ".join(f"{loss:>8.4f}" for loss in losses), flush=True)


if __name__ == "__main__":
    main()
