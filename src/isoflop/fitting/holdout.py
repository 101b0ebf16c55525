"""The largest runs held out: fitted on the rest, how well are they predicted?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.errors import UserError
from isoflop.fitting.problem import usable_rows
from isoflop.fitting.result import LEVEL, Fit
from isoflop.fitting.rollout import SIZES
from isoflop.laws import Law
from isoflop.runs import Runs


@dataclass(frozen=True)
class HeldOut:
    """How runs that a fit has not seen were predicted."""

    n_runs: int
    error: float
    """Root mean square of log(measured / predicted)."""
    bias: float
    """Mean of log(measured / predicted)."""
    coverage: float
    """Share of the runs that lie within their own 90 % interval (`of="run"`)."""


def hold_out(runs: Runs, law: Law, *, rule: str, target: str = "loss") -> tuple[Runs, Runs]:
    """(the rest, the runs held out) by a rule such as "largest:0.2": the largest fifth by the sizes that the law reads.

    Size is N times D, or the one of C, x, N, D that the law reads. Raises `UserError` for a rule that is not of this
    form, and where the law reads no size or nothing would be left on one side.
    """
    name, _, number = rule.partition(":")
    try:
        share = float(number)
    except ValueError:
        share = float("nan")
    if name != "largest" or not 0 < share < 1:
        raise UserError(
            f"--holdout {rule!r} is not understood: write it as largest:0.2 for the largest fifth of the runs."
        )
    sizes = [name for name in law.variables if name in SIZES]
    if not sizes:
        raise UserError(f"{law.formula} reads no size (one of {', '.join(SIZES)}), so there are no largest runs.")
    rows, _ = usable_rows(runs, law, target, "log")
    size = np.sum([np.log(np.asarray(runs[name], dtype=np.float64)[rows]) for name in sizes], axis=0)
    count = round(share * len(rows))
    if not 0 < count < len(rows):
        raise UserError(f"--holdout {rule} of {len(rows)} runs leaves none on one side: use a share nearer to a half.")
    order = rows[np.argsort(size, kind="stable")]
    return runs.take(np.sort(order[:-count])), runs.take(np.sort(order[-count:]))


def held_out(fit: Fit, runs: Runs) -> HeldOut:
    """How well `fit` predicts `runs`. Raises `UserError` where a column is missing."""
    columns = {name: runs[name] for name in fit.law.variables}
    columns |= {one.index: runs[one.index] for one in fit.law.parameters if one.index is not None}
    predicted = fit.predict(of="run", level=LEVEL, **columns)
    measured = np.asarray(runs[fit.target], dtype=np.float64)
    errors = np.log(measured / predicted.value)
    inside = (measured >= predicted.low) & (measured <= predicted.high)
    return HeldOut(
        n_runs=len(measured),
        error=float(np.sqrt(np.mean(errors**2))),
        bias=float(np.mean(errors)),
        coverage=float(np.mean(inside)),
    )
