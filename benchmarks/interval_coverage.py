"""Do 90 % intervals hold the truth in 90 % of studies? Simulated studies, fitted as a user would, counted.

    python benchmarks/interval_coverage.py --studies 300 --draws 1000

prints a Markdown table: a row per setting, a column per quantity, each cell the share of studies whose 90 % interval
held the truth. The first group of settings has independent runs on a grid of N and D; the second runs cut from trunks
(one per N) that share an error; in the third the law can't express the truth; in the last errors are not normal. N_opt
and losses are at multiples of the largest compute of the study, at the truth's compute-optimal N and D; "run" is the
loss that a new run measures.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import isoflop as iso

LAW = iso.Law("E + A / N**alpha + B / D**beta")
TRUTH = {"E": 1.8, "A": 480.0, "alpha": 0.35, "B": 2100.0, "beta": 0.37}
SMALL_TRUTH = {"E": 1.0, "A": 30.0, "alpha": 0.3, "B": 60.0, "beta": 0.3}
QUANTITIES = ("alpha", "beta", "a", "N_opt ×100", "loss ×10", "loss ×100", "law ×4", "run ×4")
LEVEL = 0.9
Loss = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Setting:
    """A kind of study: how many sizes, token budgets per size, noise of a run and of a trunk, what the truth is."""

    name: str
    sizes: int
    budgets: int
    noise: float
    trunk_noise: float = 0.0
    truth: str = "law"
    small: bool = False
    errors: str = "normal"


SETTINGS = (
    *(
        Setting(f"{sizes * budgets} runs, noise {100 * noise:g} %", sizes, budgets, noise)
        for sizes, budgets in ((5, 4), (8, 5), (10, 10), (25, 10))
        for noise in (0.002, 0.01)
    ),
    *(
        Setting(
            f"{sizes * 3} runs of {sizes} trunks, {100 * noise:g} % and {100 * trunk:g} %",
            sizes,
            3,
            noise,
            trunk,
            small=True,
        )
        for sizes in (4, 5, 6)
        for noise, trunk in ((0.002, 0.0), (0.002, 0.002), (0.001, 0.003))
    ),
    *(
        Setting(f"15 runs of 5 trunks, truth {truth}", 5, 3, 0.002, 0.001, truth, small=True)
        for truth in ("steeper when small", "mixed term", "bent")
    ),
    *(
        Setting(f"40 runs, noise 0.5 %, {errors}", 8, 5, 0.005, errors=errors)
        for errors in ("heavy tails", "one in ten under-tuned", "larger for larger runs")
    ),
)


def loss_of(setting: Setting) -> Loss:
    """The loss that the runs of a setting would measure without noise."""
    values = SMALL_TRUTH if setting.small else TRUTH

    def law(n: np.ndarray, d: np.ndarray) -> np.ndarray:
        return LAW.loss(values, {"N": n, "D": d})

    truths: dict[str, Loss] = {
        "law": law,
        "steeper when small": lambda n, d: law(n, d) + 0.03 * (1e5 / n) + 0.03 * (1e6 / d),
        "mixed term": lambda n, d: law(n, d) + 0.3 * (1e5 / n * 1e6 / d) ** 0.15,
        "bent": lambda n, d: law(n, d) * (1 + 0.004 * np.log(n / 1e6) ** 2),
    }
    return truths[setting.truth]


def optimum(values: dict[str, float], flops: float) -> tuple[float, float]:
    """The compute-optimal (N, D) of the law at C = 6 N D."""
    alpha, beta = values["alpha"], values["beta"]
    balance = (alpha * values["A"] / (beta * values["B"])) ** (1 / (alpha + beta))
    n = balance * (flops / 6) ** (beta / (alpha + beta))
    return n, flops / 6 / n


def study(setting: Setting, rng: np.random.Generator) -> iso.Runs:
    """The table of runs of one simulated study."""
    smallest, largest, ratios = (1e5, 3e6, (10, 80)) if setting.small else (1e7, 1e9, (5, 80))
    sizes, per_size = np.geomspace(smallest, largest, setting.sizes), np.geomspace(*ratios, setting.budgets)
    n, ratio = (one.ravel() for one in np.meshgrid(sizes, per_size, indexing="ij"))
    trunk = np.repeat(np.arange(setting.sizes), setting.budgets)
    error = setting.noise * run_errors(setting.errors, n, rng)
    error += setting.trunk_noise * rng.standard_normal(setting.sizes)[trunk]
    columns = {"params": n, "tokens": n * ratio, "loss": loss_of(setting)(n, n * ratio) * np.exp(error)}
    if setting.small:
        columns["trunk"] = trunk.astype(str)
    return iso.Runs(columns)


def run_errors(kind: str, n: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One error per run, of size about 1 in the middle of the table."""
    error = rng.standard_normal(len(n))
    if kind == "heavy tails":  # Student's t with 3 degrees of freedom
        return error / np.sqrt(rng.chisquare(3, len(n)) / 3)
    if kind == "one in ten under-tuned":  # those are up to six times the noise too high
        return error + (rng.random(len(n)) < 0.1) * rng.uniform(0, 6, len(n))
    if kind == "larger for larger runs":
        return error * (n / 1e8) ** 0.3
    return error


def hits(setting: Setting, rng: np.random.Generator, options: dict[str, Any]) -> tuple[dict[str, bool], float]:
    """Which intervals of one study's fit hold the truth, and the width of the last, relative to the loss."""
    runs = study(setting, rng)
    fit = iso.fit(runs, LAW, seed=int(rng.integers(1 << 31)), **options)
    values = SMALL_TRUTH if setting.small else TRUTH
    top = float((6 * runs["N"] * runs["D"]).max())
    held: dict[str, bool] = {}
    if setting.truth == "law":
        for name in ("alpha", "beta"):
            held[name] = inside(fit.parameters[name], values[name])
        held["a"] = inside(fit.derived["a"], values["beta"] / (values["alpha"] + values["beta"]))
        held["N_opt ×100"] = inside(fit.estimate(lambda v: optimum(v, 100 * top)[0]), optimum(values, 100 * top)[0])
        for times in (10, 100):
            n, d = optimum(values, times * top)
            held[f"loss ×{times}"] = inside(fit.predict(N=n, D=d), float(LAW.loss(values, {"N": n, "D": d})))
    n, d = 2 * runs["N"].max(), 2 * runs["D"].max()
    truth = float(loss_of(setting)(np.array(n), np.array(d)))
    held["law ×4"] = inside(fit.predict(N=n, D=d), truth)
    error = (
        setting.noise * run_errors(setting.errors, np.array([n]), rng)[0] + setting.trunk_noise * rng.standard_normal()
    )
    measured = truth * np.exp(error)
    predicted = fit.predict(N=n, D=d, of="run")
    held["run ×4"] = inside(predicted, measured)
    return held, (predicted.high - predicted.low) / predicted.value


def inside(interval: iso.Estimate, truth: float) -> bool:
    """Whether the interval holds the truth."""
    return interval.low <= truth <= interval.high


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--only", default="", help="settings whose name contains this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resample", help="a scheme other than the one that a fit chooses by itself")
    chosen = parser.parse_args()
    options = {"draws": chosen.draws, "resample": chosen.resample}
    print("| setting | " + " | ".join(QUANTITIES) + " | width of run ×4 |\n|" + " --- |" * (len(QUANTITIES) + 2))
    started = time.perf_counter()
    for number, setting in enumerate(SETTINGS):
        if chosen.only not in setting.name:
            continue
        rng = np.random.default_rng([chosen.seed, number])
        found = [hits(setting, rng, options) for _ in range(chosen.studies)]
        shares = {name: np.mean([held[name] for held, _ in found]) for name in found[0][0]}
        cells = [f"{100 * shares[name]:.0f} %" if name in shares else "" for name in QUANTITIES]
        width = f"{100 * np.median([width for _, width in found]):.2g} %"
        print(f"| {setting.name} | " + " | ".join(cells) + f" | {width} |", flush=True)
    print(f"\n{chosen.studies} studies per setting, {chosen.draws} draws each, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
