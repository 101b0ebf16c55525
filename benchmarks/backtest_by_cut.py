"""What a law says as larger runs come in: exponents, noise and, a given distance further out, the coverage.

    python benchmarks/backtest_by_cut.py [published:epoch_chinchilla] [--where split=fit240]

One line per cut of `isoflop backtest`: a law that is right has exponents that settle and errors of either sign.
"""

from __future__ import annotations

import argparse

import numpy as np

import isoflop as iso
from isoflop.fitting.extrapolation.rolling import SPARE, cuts_of, size_by

LAW = iso.Law("E + A / N**alpha + B / D**beta")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", default="published:epoch_chinchilla")
    parser.add_argument("--where", default="split=fit240")
    parser.add_argument("--beyond", type=float, nargs=2, default=(4.0, 16.0), help="multiples of the compute fitted")
    chosen = parser.parse_args()
    runs = iso.load_runs(chosen.table, where=chosen.where)
    size = size_by(runs, "C")
    print("| fitted up to FLOPs | runs | alpha | beta | noise | covered | mean error | half-width |\n|" + " --- |" * 8)
    for cut in cuts_of(size, len(LAW.names) + SPARE, runs.source, "C"):
        fit = iso.fit(runs.take(size <= cut), LAW, draws=400)
        far = runs.take((size > chosen.beyond[0] * cut) & (size <= chosen.beyond[1] * cut))
        if len(far) < 2:
            continue
        predicted = fit.predict(of="run", N=far["N"], D=far["D"])
        error = 100 * np.log(far["loss"] / predicted.value)
        covered = 100 * np.mean((far["loss"] >= predicted.low) & (far["loss"] <= predicted.high))
        half = 50 * np.median(np.log(predicted.high / predicted.low))
        print(
            f"| {cut:.1e} | {fit.n_runs} | {fit.values['alpha']:.2f} | {fit.values['beta']:.2f} | "
            f"{100 * fit.noise:.2f} % | {covered:.0f} % | {error.mean():+.1f} % | {half:.1f} % |"
        )


if __name__ == "__main__":
    main()
