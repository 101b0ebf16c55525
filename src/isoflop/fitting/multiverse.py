"""`multiverse`: one answer under every reasonable way of fitting, so that choices of method are seen beside the noise.

The name and the idea are those of Steegen et al. 2016 ("Increasing transparency through a multiverse analysis").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import UserError
from isoflop.fitting.extrapolation.rolling import named_laws
from isoflop.fitting.fit import fit
from isoflop.fitting.influence import influential_runs
from isoflop.fitting.kernels import kernel_for
from isoflop.fitting.objectives import Asymmetric, Huber, Objective, Squared
from isoflop.fitting.problem import build_problem, numeric_column, usable_rows
from isoflop.fitting.result import Estimate, Fit
from isoflop.fitting.solver import solve
from isoflop.laws import Law
from isoflop.runs import Runs

Array = NDArray[np.float64]
OBJECTIVES: tuple[Objective, ...] = (Huber(), Squared(), Asymmetric())
LAWS = ("chinchilla", "E + ((N_c / N)**(alpha_N / alpha_D) + D_c / D)**alpha_D")
"""The two forms in use for loss in size and data: terms that add up, and Kaplan's with a floor."""
SIZES = ("params", "params_body", "params_total")
"""Columns that count parameters by different conventions."""
LARGEST = 0.1
"""The share of runs with the most compute that is left out."""
SIX = 6.0
DIFFERENT = 0.01
"""Recorded FLOPs that differ from 6 N D by more than this (relative, in the median) are a convention of their own."""
AXES = ("objective", "outliers", "law", "convention", "left_out")
DRAWS = 1000
LEAST_FLOPS = 1e12
"""Below this the best model of any published law has fewer than a few thousand parameters."""


@dataclass(frozen=True)
class Universe:
    """One way of fitting, and its answer; `params` is N_opt (or the size asked about), `loss` the law's loss there."""

    objective: str
    outliers: str
    law: str
    convention: str
    left_out: str
    params: float
    tokens: float
    loss: float
    n_runs: int


@dataclass(frozen=True)
class Multiverse:
    """All universes, lowest answer first. `answer` names the column asked for: params (of the least loss) or loss.

    `sampling` is the interval of the first universe (first objective, all runs, first law and convention) over draws
    of the runs: what is usually reported. `failed` says which universes have no answer, and why.
    """

    universes: tuple[Universe, ...]
    answer: str
    asked: str
    sampling: Estimate
    failed: tuple[str, ...]
    source: str

    @property
    def values(self) -> Array:
        """The answer in each universe."""
        return np.array([getattr(one, self.answer) for one in self.universes])

    def shares(self) -> dict[str, float]:
        """How much of the variance of the log answer goes with each choice alone, the largest first."""
        logs = np.log(self.values)
        total = float(logs.var())
        found = {}
        for axis in AXES:
            levels = np.array([getattr(one, axis) for one in self.universes])
            means = {level: float(logs[levels == level].mean()) for level in np.unique(levels)}
            between = float(np.array([means[level] for level in levels]).var())
            if len(means) > 1:
                found[axis] = between / total if total > 0 else 0.0
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        values = self.values
        sampling = {"value": self.sampling.value, "low": self.sampling.low, "high": self.sampling.high}
        return {
            "asked": self.asked,
            "answer": self.answer,
            "low": float(values.min()),
            "median": float(np.median(values)),
            "high": float(values.max()),
            "sampling": {name: value if np.isfinite(value) else None for name, value in sampling.items()},
            "shares": self.shares(),
            "universes": [dict(vars(one)) for one in self.universes],
            "failed": list(self.failed),
        }


def multiverse(
    runs: Runs,
    *,
    flops: float | None = None,
    params: float | None = None,
    tokens: float | None = None,
    laws: Sequence[Law | str] = LAWS,
    objectives: Sequence[Objective] = OBJECTIVES,
    target: str = "loss",
    progress: Callable[[float], None] | None = None,
) -> Multiverse:
    """The size of least loss for `flops`, or the loss at `params` and `tokens`, under every combination of choices.

    The choices: objective; all runs, or without those that decide the fit (`fit` names them); law; what counts as N
    (each of params, params_body, params_total that the runs have) and as FLOPs (6 N D, or what the runs recorded where
    that differs); all runs or without the tenth with the most compute. Raises `UserError` where neither a budget nor a
    target is asked for, or a law does not read N and D alone.
    """
    if (flops is None) == (params is None) or (params is None) != (tokens is None):
        raise UserError("Ask for one thing: a budget (flops), or a target's params and tokens.")
    for name, value, least in (("flops", flops, LEAST_FLOPS), ("params", params, 1.0), ("tokens", tokens, 1.0)):
        if value is not None and not least <= value < np.inf:
            raise UserError(f"{name} is {value:g}: give a number from {least:g} on.")
    chosen = named_laws(laws)
    for name, law in chosen.items():
        if {_symbol(variable) for variable in law.variables} != {"N", "D"}:
            raise UserError(f"{name} reads {', '.join(law.variables)}: a multiverse compares laws of N and D alone.")
    found: list[Universe] = []
    failed: list[str] = []
    first: Fit | None = None
    settings = list(_settings(runs, chosen, target))
    for at, ((name, law), (convention, factor), rows, labels) in enumerate(settings):
        for objective in objectives:
            spec = (str(objective), labels[0], name, convention, labels[1])
            try:
                own = fit(rows, law, objective=objective, draws=0 if first else DRAWS, target=target)
                size = params if params is not None else best_params(own.law, own.values, float(flops or 0), factor)
                data = tokens if tokens is not None else float(flops or 0) / (factor * size)
                loss = float(law.loss(own.values, _columns(law, size, data)))
                found.append(Universe(*spec, size, data, loss, own.n_runs))
                first = first or own
            except UserError as error:
                failed.append(f"{', '.join(spec)}: {error}")
        if progress is not None:
            progress((at + 1) / len(settings))
    if not found or first is None:
        raise UserError(f"No universe has an answer. The first: {failed[0]}")
    answer = "loss" if flops is None else "params"
    asked = f"N_opt at {flops:.3g} FLOPs" if flops else f"loss at {params:.3g} parameters and {tokens:.3g} tokens"
    sampling = _sampling(first, flops, (params, tokens), settings[0][1][1])
    return Multiverse(
        tuple(sorted(found, key=lambda one: float(getattr(one, answer)))), answer, asked, sampling, tuple(failed),
        runs.source,
    )  # fmt: skip


def best_params(law: Law, values: Any, flops: float, factor: float = SIX) -> float:
    """The N of least loss at `flops` = factor * N * D, to about 1e-4. Raises `UserError` where there is none inside."""
    u = np.linspace(np.log(1e3), np.log(flops / factor / 1e3), 4001)
    size = np.exp(u)
    loss = np.asarray(law.loss(values, _columns(law, size, flops / (factor * size))), dtype=np.float64)
    at = int(np.nanargmin(loss))
    if at in (0, len(u) - 1):
        raise UserError("the loss keeps falling towards one end, so there is no best size")
    before, here, after = loss[at - 1 : at + 2]
    bend = before - 2 * here + after
    return float(np.exp(u[at] + (0.5 * (before - after) / bend * (u[1] - u[0]) if bend > 0 else 0.0)))


def _settings(
    runs: Runs, laws: Mapping[str, Law], target: str
) -> Iterator[tuple[tuple[str, Law], tuple[str, float], Runs, tuple[str, str]]]:
    """((name, law), (convention, FLOPs per N D), the runs, (outlier rule, what is left out)) for each combination."""
    for item, (convention, size, factor) in product(laws.items(), _conventions(runs)):
        table = Runs({**runs.columns, "params": numeric_column(runs, size)}, runs.source)
        table = table.take(usable_rows(table, item[1], target, "log")[0])
        compute = numeric_column(table, "N") * numeric_column(table, "D")
        order = np.argsort(compute, kind="stable")
        rest = np.sort(order[: len(order) - round(LARGEST * len(order))])
        for left_out, rows in (("none", np.arange(len(table))), ("largest 10 %", rest)):
            used = table.take(rows)
            yield item, (convention, factor), used, ("all", left_out)
            odd = _decisive(used, item[1], target)
            if odd:
                keep = np.setdiff1d(np.arange(len(used)), odd)
                yield item, (convention, factor), used.take(keep), ("decisive out", left_out)


def _conventions(runs: Runs) -> list[tuple[str, str, float]]:
    """(name, column of N, FLOPs per parameter and token) for each way of counting that the runs allow."""
    found = []
    for size in SIZES:
        if size not in runs or (size != "params" and np.array_equal(runs[size], runs["params"])):
            continue
        n = numeric_column(runs, size)
        found.append((f"{size}, 6 N D", size, SIX))
        if "C" in runs:
            with np.errstate(all="ignore"):
                ratio = float(np.nanmedian(numeric_column(runs, "C") / (n * numeric_column(runs, "D"))))
            if np.isfinite(ratio) and abs(ratio / SIX - 1) > DIFFERENT:
                found.append((f"{size}, recorded FLOPs ({ratio:.3g} N D)", size, ratio))
    return found


def _decisive(runs: Runs, law: Law, target: str) -> list[int]:
    """The runs without which the Huber fit is another."""
    problem = build_problem(law, runs, target=target, objective=Huber(), space="log")
    kernel = kernel_for(problem, 0)
    return list(influential_runs(problem, solve(problem, kernel).theta, kernel=kernel).rows)


def _sampling(first: Fit, flops: float | None, target: tuple[float | None, float | None], factor: float) -> Estimate:
    if flops is None:
        predicted = first.predict(**_columns(first.law, target[0], target[1]))
        return Estimate(predicted.value, predicted.low, predicted.high)

    def answer(values: Any) -> float:
        if np.ndim(next(iter(values.values()))):
            raise TypeError("one draw at a time")
        try:
            return best_params(first.law, values, flops, factor)
        except UserError:
            return float("nan")

    return first.estimate(answer)


def _columns(law: Law, size: Any, data: Any) -> dict[str, Any]:
    return {name: size if _symbol(name) == "N" else data for name in law.variables}


def _symbol(variable: str) -> str:
    return {"params": "N", "tokens": "D"}.get(variable, variable)
