"""Where does u-μP's best rate go with depth under another power of the depth? Run: python benchmarks/depth_exponent.py.

Width 32, 2 and 8 layers, 400 steps, T 64, V 512, on the default corpus; exponent 1 is our extension, 1/2 is u-μP.
"""

from __future__ import annotations

import sys

from gains import trained_loss

from isoflop.data import CorpusConfig, TokenizerConfig, prepare_tokens
from isoflop.models.parametrization import umup
from isoflop.study.preparation import cache_folder
from isoflop.study.rate import best_rate
from isoflop.study.transfer import TransferConfig
from isoflop.training.processor import processor_settings

RATES, WIDTH, DEPTHS = (0.25, 0.5, 1.0, 2.0), 32, (2, 8)


def main() -> None:
    """Print validation losses, nats per token, by depth and rate."""
    exponents = [float(word) for word in sys.argv[1:]] or [1.0]
    data, _ = prepare_tokens(CorpusConfig(), TokenizerConfig(), cache=cache_folder())
    print(f"{'exponent':>8} {'layers':>6} " + " ".join(f"{f'η {rate:g}':>8}" for rate in RATES) + "   best η")
    with processor_settings(1):
        for exponent in exponents:
            table = umup(depth_exponent=exponent)
            for layers in DEPTHS:
                shape = TransferConfig().shape(WIDTH, layers, data.vocab)
                losses = {rate: trained_loss(shape, table, data, rate=rate, steps=400) for rate in RATES}
                row = " ".join(f"{loss:>8.4f}" for loss in losses.values())
                print(f"{exponent:>8g} {layers:>6} {row} {best_rate(losses):>8.3f}", flush=True)


if __name__ == "__main__":
    main()
