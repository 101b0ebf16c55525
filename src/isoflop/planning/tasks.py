"""What a planned model will do on tasks: a law of error or accuracy by loss, put behind the law of loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isoflop.errors import UserError
from isoflop.fitting.result import Estimate, Fit
from isoflop.fitting.status import Status
from isoflop.laws.catalogue import find
from isoflop.laws.law import Law
from isoflop.laws.lookup import resolve
from isoflop.planning.allocation import Allocation
from isoflop.planning.basis import Array, Basis, names_a_file, read_fit

COLUMN = "loss"
TARGETS = ("error", "accuracy")
QUANTILES = 40
"""Levels at which the interval of the run's loss is asked for: twice as many points of its distribution."""


@dataclass(frozen=True)
class Task:
    """A law of a task's error or accuracy by loss in nats per token, with values, and a fit where they are from one."""

    law: Law
    values: Mapping[str, float]
    target: str
    source: str
    fit: Fit | None = None


@dataclass(frozen=True)
class Downstream:
    """What to expect on the tasks: `value` is a share, its interval that of one run; NaN bounds where nothing is known
    of the uncertainty."""

    name: str
    value: Estimate
    unit: str
    source: str
    status: tuple[Status, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        bounds = {"low": self.value.low, "high": self.value.high}
        found = {name: bound for name, bound in bounds.items() if math.isfinite(bound)}
        said = [vars(one) for one in self.status]
        return {"target": self.name, "value": self.value.value, **found, "source": self.source, "status": said}


def task_of(source: Fit | str | Path) -> Task:
    """A task law from a `Fit`, the JSON file of one, or a published set ("task_error:gadre2024_c4_17").

    Raises `UserError` for a law that predicts no error or accuracy, or reads more than the loss.
    """
    if isinstance(source, Fit):
        task = Task(source.law, source.values, source.target, "fit", source)
    elif isinstance(source, Path) or names_a_file(source):
        fit = read_fit(Path(source))
        task = Task(fit.law, fit.values, fit.target, str(source), fit)
    else:
        law, values = resolve(source)
        if values is None:
            raise UserError(
                f"{source!r} is a task law without values: name one of its published sets, or fit it first."
            )
        task = Task(law, values, find(source.partition(":")[0].strip()).target.name, source)
    if task.target not in TARGETS:
        raise UserError(f"{task.source} predicts {task.target}: a task law predicts {' or '.join(TARGETS)}.")
    if tuple(task.law.variables) != (COLUMN,):
        raise UserError(
            f"{task.source} reads {', '.join(task.law.variables)}: a task law for a plan reads the column loss alone."
        )
    return task


def downstream(task: Task, basis: Basis, allocation: Allocation, *, level: float) -> Downstream:
    """Error or accuracy of the planned run: the task law at its loss, over what is uncertain in both."""
    at = {COLUMN: allocation.loss.value}
    best = float(task.law.loss(task.values, at))
    losses = _run_losses(basis, allocation)
    low = high = math.nan
    if losses is not None or task.fit is not None:
        drawn = _measured(task, np.array([allocation.loss.value]) if losses is None else losses)
        low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    status = () if task.fit is None else task.fit.status + task.fit.predict(loss=allocation.loss.value).status
    estimate = Estimate(best, float(low), float(high), level)
    return Downstream(task.target, estimate, "share of the tasks", task.source, status)


def _run_losses(basis: Basis, allocation: Allocation) -> Array | None:
    """Points at equal probability of the loss that the planned run will measure; None where it has no interval."""
    if basis.fit is None:
        return None
    unique = allocation.unique_tokens if basis.unique is not None else None
    columns = basis.columns(allocation.params.value, allocation.tokens.value, unique)
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    found = [basis.fit.predict(of="run", level=float(one), **columns) for one in levels]
    return np.array([bound for one in found for bound in (one.low, one.high)], dtype=np.float64)


def _measured(task: Task, losses: Array) -> Array:
    """What one run of each loss would score, under random draws of the task law and with its runs' scatter."""
    fit = task.fit
    if fit is None:
        return np.asarray(task.law.loss(task.values, {COLUMN: losses}), dtype=np.float64)
    rng = np.random.default_rng(fit.seed)
    n = len(fit.draws)
    drawn = rng.choice(losses, n)
    at = {COLUMN: drawn}
    centre, under = task.law.loss(task.values, at), task.law.loss(dict(fit.draw_values), at)
    noise = fit.spread * rng.standard_normal(n)
    if fit.space == "raw":
        return np.asarray(centre + fit.misfit * (under - centre + noise), dtype=np.float64)
    with np.errstate(all="ignore"):
        return np.asarray(centre * np.exp(fit.misfit * (np.log(under / centre) + noise)), dtype=np.float64)
