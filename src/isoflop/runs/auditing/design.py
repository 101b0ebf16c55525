"""Checks of where the runs lie: tokens per parameter, levels, ties between N and D, IsoFLOP minima."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.runs.auditing.finding import SOURCES, Finding, Outcome
from isoflop.runs.auditing.grouping import Groups, levels
from isoflop.runs.table import Runs

NARROW_COVERAGE = 8.0
TOO_NARROW_COVERAGE = 2.0
"""Factors between the smallest and the largest tokens per parameter: under 2 the design is a ray."""

TIED = 0.9
FIRMLY_TIED = 0.98
"""Correlation of log N and log D: at 0.98 only a fifth of log D's spread is its own."""

FEW_LEVELS = 5
TOO_FEW_LEVELS = 3
"""E, A and alpha are three numbers: three sizes are the least, and leave nothing to see a misfit with."""

SAME_BUDGET = 0.02
WIDEST_BUDGET = 0.1
"""Decades of FLOPs: gaps below the first (5 %) join runs to one IsoFLOP curve; one wider than the second (26 %) is
none, as its losses differ more by budget than by size. With these, the budgets in the reconstruction of figure 4 of
Hoffmann et al. 2022 stand out from the runs in between."""

FLAT = 0.001
"""Of the loss: an inner size this close to the lowest loss may as well be the minimum."""

FEWEST_ON_CURVE = 4
"""A parabola has three coefficients; a fourth run is the least to see whether it holds."""


def check_coverage(runs: Runs) -> Finding:
    """The range of tokens per parameter: a law fitted on one ratio says nothing about another."""
    if "params" not in runs or "tokens" not in runs:
        return _missing("coverage", "factor between extremes of tokens per parameter", SOURCES["kricheli"])
    per_parameter = runs["tokens"] / runs["params"]
    low, high = float(per_parameter.min()), float(per_parameter.max())
    factor = high / low
    outcome: Outcome = "pass" if factor >= NARROW_COVERAGE else "warn" if factor >= TOO_NARROW_COVERAGE else "fail"
    return Finding(
        "coverage", outcome, factor, "factor between extremes of tokens per parameter",
        f"Tokens per parameter run from {low:.3g} to {high:.3g}, a factor of {factor:.3g}.",
        "" if outcome == "pass" else "Add runs with far fewer and far more tokens per parameter.", SOURCES["kricheli"],
    )  # fmt: skip


def check_tied(runs: Runs) -> Finding:
    """Whether N and D move together, so that alpha and beta can't be told apart."""
    unit = "correlation of log N and log D"
    if "params" not in runs or "tokens" not in runs:
        return _missing("tied", unit, SOURCES["kricheli"])
    n, d = np.log(runs["params"]), np.log(runs["tokens"])
    if np.ptp(n) == 0 or np.ptp(d) == 0:
        constant = "params" if np.ptp(n) == 0 else "tokens"
        return Finding(
            "tied", "fail", None, unit, f"{constant} is the same in all runs.",
            f"Vary {constant}, or fit a law without it.", SOURCES["kricheli"],
        )  # fmt: skip
    r = round(float(np.corrcoef(n, d)[0, 1]), 6) + 0.0  # what is left of a sum that ought to be 0 is no finding
    outcome: Outcome = "pass" if abs(r) < TIED else "warn" if abs(r) < FIRMLY_TIED else "fail"
    return Finding(
        "tied", outcome, r, unit, f"log N and log D are correlated with {r:+.3f}.",
        "" if outcome == "pass" else "alpha and beta are then told apart badly or not at all: add runs off this line.",
        SOURCES["kricheli"],
    )  # fmt: skip


def check_levels(runs: Runs) -> Finding:
    """How many different sizes and token counts there are, and over what range."""
    there = [name for name in ("params", "tokens") if name in runs]
    if not there:
        return _missing("levels", "values of N or D, whichever has fewer", "")
    counts = {name: levels(runs[name]) for name in there}
    fewest = min(counts.values())
    outcome: Outcome = "pass" if fewest >= FEW_LEVELS else "warn" if fewest >= TOO_FEW_LEVELS else "fail"
    said = ", ".join(
        f"{count} values of {name} over a factor of {runs[name].max() / runs[name].min():.3g}"
        for name, count in counts.items()
    )
    return Finding(
        "levels", outcome, fewest, "values of N or D, whichever has fewer", f"{said}.",
        "" if outcome == "pass" else f"Add runs at other {min(counts, key=lambda name: counts[name])}.",
    )  # fmt: skip


@dataclass(frozen=True)
class IsoFlop:
    """Runs of about one budget: their median `flops`, and whether the lowest loss is at an inner size."""

    flops: float
    rows: NDArray[np.intp]
    bracketed: bool


def isoflop_curves(runs: Runs, groups: Groups) -> list[IsoFlop]:
    """The runs of near-equal FLOPs within each group, where there are at least four sizes."""
    curves = []
    for rows in groups.rows():
        order = rows[np.argsort(runs["flops"][rows], kind="stable")]
        decades = np.log10(runs["flops"][order])
        for cluster in np.split(order, np.flatnonzero(np.diff(decades) > SAME_BUDGET) + 1):
            width = np.ptp(np.log10(runs["flops"][cluster]))
            if width <= WIDEST_BUDGET and levels(runs["params"][cluster]) >= FEWEST_ON_CURVE:
                curves.append(_curve(runs, cluster))
    return curves


def check_isoflop(runs: Runs, groups: Groups) -> Finding:
    """Whether each IsoFLOP curve has its minimum inside: at an edge, the optimum lies somewhere beyond."""
    unit = "IsoFLOP curves with their minimum at an edge"
    curves = isoflop_curves(runs, groups) if "params" in runs and "flops" in runs else []
    if not curves:
        return Finding(
            "isoflop", "unknown", None, unit,
            f"There are no IsoFLOP curves ({FEWEST_ON_CURVE} or more sizes at about equal FLOPs).",
            "Nothing to do, unless optimal sizes are to be read from parabolas.", SOURCES["czech"],
        )  # fmt: skip
    open_ones = [curve for curve in curves if not curve.bracketed]
    outcome: Outcome = "pass" if not open_ones else "warn" if len(open_ones) <= len(curves) / 2 else "fail"
    named = ", ".join(f"{curve.flops:.2e}" for curve in open_ones[:4]) + (", …" if len(open_ones) > 4 else "")
    return Finding(
        "isoflop", outcome, len(open_ones), unit,
        f"{len(open_ones)} of {len(curves)} IsoFLOP curves have their lowest loss at an edge (FLOPs {named})."
        if open_ones else f"Each of {len(curves)} IsoFLOP curves has its lowest loss inside.",
        "Add sizes beyond that edge, or leave these budgets out; a parabola is biased where the curve is off centre."
        if open_ones else "", SOURCES["czech"],
    )  # fmt: skip


def _curve(runs: Runs, rows: NDArray[np.intp]) -> IsoFlop:
    sizes, losses = runs["params"][rows], runs["loss"][rows]
    inside = (sizes > sizes.min()) & (sizes < sizes.max())
    bracketed = bool(losses[inside].min() <= losses.min() * (1 + FLAT))
    return IsoFlop(float(np.median(runs["flops"][rows])), rows, bracketed)


def _missing(check: str, unit: str, source: str) -> Finding:
    return Finding(
        check, "unknown", None, unit, "params or tokens is not there.", "Name both in the mapping, as N=…,D=….", source
    )
