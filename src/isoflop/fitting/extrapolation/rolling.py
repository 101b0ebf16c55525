"""`backtest`: fit on the smallest runs, predict all larger ones, move the cut up, and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import UserError
from isoflop.fitting.fit import fit, law_of
from isoflop.fitting.objectives import Huber, Objective
from isoflop.fitting.problem import numeric_column, usable_rows
from isoflop.fitting.result import LEVEL
from isoflop.laws import Law
from isoflop.runs import Runs

Array = NDArray[np.float64]
SPARE = 4
"""Runs that a fit needs beyond its parameters."""
MOST_CUTS = 8
BANDS = (1.0, 2.0, 4.0, 8.0, 16.0, 64.0, float("inf"))
"""Ends of the bands of the multiple: a run's size over the largest fitted."""
FLOPS_PER_PARAM_TOKEN = 6.0


@dataclass(frozen=True)
class Band:
    """How runs `low` to `high` times beyond the largest fitted were predicted, over all cuts.

    `error` is the root mean square of log(measured / predicted), `bias` its mean, `coverage` the share of the runs
    that lay within their own 90 % interval.
    """

    law: str
    low: float
    high: float
    n: int
    error: float
    bias: float
    coverage: float


@dataclass(frozen=True)
class Backtest:
    """The outcome of `backtest`: one `Band` per law and multiple of `by`; `cuts` are the sizes that fits ended at."""

    by: str
    cuts: tuple[float, ...]
    bands: tuple[Band, ...]
    source: str
    notes: tuple[str, ...]

    def error(self, law: str) -> float:
        """Root mean square of log(measured / predicted) over all runs predicted by `law`."""
        own = [band for band in self.bands if band.law == law]
        return float(np.sqrt(np.average([band.error**2 for band in own], weights=[band.n for band in own])))

    def coverage(self, law: str) -> float:
        """Share of all runs predicted by `law` that lay within their own 90 % interval."""
        own = [band for band in self.bands if band.law == law]
        return float(np.average([band.coverage for band in own], weights=[band.n for band in own]))

    @property
    def laws(self) -> tuple[str, ...]:
        """The laws, in the order given."""
        return tuple(dict.fromkeys(band.law for band in self.bands))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a band without upper end has none."""
        bands = [{**asdict(band), "high": band.high if np.isfinite(band.high) else None} for band in self.bands]
        total = {law: {"error": self.error(law), "coverage": self.coverage(law)} for law in self.laws}
        return {"by": self.by, "cuts": list(self.cuts), "laws": total, "bands": bands, "notes": list(self.notes)}


def backtest(
    runs: Runs,
    laws: Sequence[Law | str] | Law | str,
    *,
    by: str = "C",
    objective: Objective = Huber(),
    draws: int = 400,
    target: str = "loss",
    progress: Callable[[float], None] | None = None,
) -> Backtest:
    """Fit each of `laws` to the runs with the smallest `by`, predict the larger ones, and roll the cut upwards.

    `by` is any column that orders runs (C is taken as 6 N D where there is none). All laws see the same cuts: at most
    eight, each with four runs more than the largest number of parameters on the small side. Error and coverage are
    told apart by how far beyond the cut a run lies. Raises `UserError` where no cut leaves enough runs on both sides.
    """
    rolled = roll(runs, named_laws(laws), by=by, objective=objective, draws=draws, target=target, progress=progress)
    bands = tuple(band for name in rolled.errors for band in _bands(name, rolled))
    left_out = len(runs) - len(rolled.used)
    notes = (f"{left_out} of {len(runs)} runs are left out: a column that is read is missing.",) if left_out else ()
    return Backtest(by, tuple(rolled.cuts), bands, runs.source, (*runs.notes, *notes))


@dataclass(frozen=True)
class Rolled:
    """Every prediction of a back-test, cut after cut: for each of R predictions, how far beyond the cut it was, and by
    law its error (log of measured over predicted) and whether the run lay inside the interval, each (R,)."""

    used: Runs
    cuts: list[float]
    beyond: Array
    errors: Mapping[str, Array]
    inside: Mapping[str, NDArray[np.bool_]]


def roll(
    runs: Runs,
    laws: Mapping[str, Law],
    *,
    by: str,
    objective: Objective,
    draws: int,
    target: str,
    progress: Callable[[float], None] | None = None,
) -> Rolled:
    """The predictions that `backtest` sums up."""
    size = size_by(runs, by)
    rows = _usable(runs, laws, target, size)
    used, size = runs.take(rows), size[rows]
    cuts = cuts_of(size, max(len(law.names) for law in laws.values()) + SPARE, used.source, by)
    errors: dict[str, list[Array]] = {name: [] for name in laws}
    insides: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in laws}
    for at, cut in enumerate(cuts):
        small, large = used.take(size <= cut), used.take(size > cut)
        for name, law in laws.items():
            error, inside = _predict(small, large, law, objective, draws, target)
            errors[name].append(error)
            insides[name].append(inside)
        if progress is not None:
            progress((at + 1) / len(cuts))
    return Rolled(
        used,
        cuts,
        np.concatenate([size[size > cut] / cut for cut in cuts]),
        {name: np.concatenate(parts) for name, parts in errors.items()},
        {name: np.concatenate(parts) for name, parts in insides.items()},
    )


def named_laws(laws: Sequence[Law | str] | Law | str) -> Mapping[str, Law]:
    """The laws by the name that the user gave, or by formula (with its ranges, where that tells two apart).

    Raises `UserError` where there is none.
    """
    found: dict[str, Law] = {}
    for one in [laws] if isinstance(laws, (Law, str)) else laws:
        name, law = one if isinstance(one, str) else one.formula, law_of(one)
        found[name if found.get(name, law) == law else str(law)] = law
    if not found:
        raise UserError("No law is given: name at least one, such as chinchilla.")
    return found


def size_by(runs: Runs, by: str) -> Array:
    """The column that orders runs; C is 6 N D where there are no flops."""
    if by in ("C", "flops") and "C" not in runs and "N" in runs and "D" in runs:
        return FLOPS_PER_PARAM_TOKEN * numeric_column(runs, "N") * numeric_column(runs, "D")
    return numeric_column(runs, by)


def _usable(runs: Runs, laws: Mapping[str, Law], target: str, size: Array) -> NDArray[np.intp]:
    keep = np.isfinite(size) & (size > 0)
    for law in laws.values():
        one = np.zeros(len(runs), dtype=bool)
        one[usable_rows(runs, law, target, "log")[0]] = True
        keep &= one
    return np.flatnonzero(keep)


def cuts_of(size: Array, need: int, source: str, by: str) -> list[float]:
    """The sizes to fit up to: at most `MOST_CUTS`, each with `need` runs at or below it and a run above."""
    levels = np.unique(size)
    enough = [float(one) for one in levels[:-1] if (size <= one).sum() >= need]
    if not enough:
        raise UserError(
            f"{source} has {len(size)} usable runs at {len(levels)} sizes by {by}: a back-test needs {need} runs on "
            "the small side and a larger one to predict; add runs, or choose a law with fewer parameters."
        )
    if len(enough) <= MOST_CUTS:
        return enough
    wanted = np.geomspace(enough[0], enough[-1], MOST_CUTS)
    return list(dict.fromkeys(min(enough, key=lambda one: abs(np.log(one / aim))) for aim in wanted))


def _predict(
    small: Runs, large: Runs, law: Law, objective: Objective, draws: int, target: str
) -> tuple[Array, NDArray[np.bool_]]:
    """(log of measured over predicted, whether inside the interval) for each of the larger runs."""
    found = fit(small, law, objective=objective, draws=max(draws, 1), target=target)
    columns: dict[str, Any] = {name: large[name] for name in law.variables}
    columns |= {one.index: large[one.index] for one in law.parameters if one.index is not None}
    predicted = found.predict(of="run", level=LEVEL, **columns)
    measured = numeric_column(large, target)
    return np.log(measured / predicted.value), (measured >= predicted.low) & (measured <= predicted.high)


def _bands(name: str, rolled: Rolled) -> Iterator[Band]:
    for low, high in pairwise(BANDS):
        rows = (rolled.beyond > low) & (rolled.beyond <= high)
        if rows.any():
            error, inside = rolled.errors[name][rows], rolled.inside[name][rows]
            scale, bias = float(np.sqrt(np.mean(error**2))), float(np.mean(error))
            yield Band(name, low, high, int(rows.sum()), scale, bias, float(np.mean(inside)))
