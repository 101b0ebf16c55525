"""`fit`: a law and a table of runs in, a `Fit` out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import UserError
from isoflop.fitting.influence import influential_runs
from isoflop.fitting.kernels import kernel_for
from isoflop.fitting.objectives import Huber, Objective
from isoflop.fitting.problem import Array, Indices, Space, build_problem, numeric_column, usable_rows
from isoflop.fitting.resampling import Resample, Resampling, default_scheme
from isoflop.fitting.result import Fit
from isoflop.fitting.solver import solve
from isoflop.fitting.status import Findings, Status, status_of
from isoflop.fitting.uncertainty import uncertainty_of
from isoflop.laws import Law, resolve
from isoflop.runs import Runs

CLUSTER_COLUMNS = ("trunk", "run")
"""Columns that say which rows belong together; the first that is there counts."""


def fit(
    runs: Runs,
    law: Law | str,
    *,
    objective: Objective = Huber(),
    space: Space = "log",
    starts: int | None = None,
    draws: int = 4000,
    resample: Resample | None = None,
    weights: str | ArrayLike | None = None,
    where: Mapping[str, Any] | None = None,
    target: str = "loss",
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Fit:
    """Fit `law` (a `Law`, a catalogue key or a formula) to `runs`: the global optimum, with draws for its uncertainty.

    Minimises the sum over runs of weight * objective(log target - log law), or of target - law with `space="raw"`.
    `starts` is how many points of the parameters' ranges are scanned (by default 128 to 4,096, more for more nonlinear
    parameters), `weights` a column or an array, `where` keeps the runs with the given value (or one of several) in a
    column. `resample` says how the `draws` that carry the uncertainty imitate new data (`isoflop.fitting.Resample`);
    by default whichever suits the number of independent runs, those of one trunk or with one name going together.
    `progress` is called with the share of the draws that is done.
    Raises `UserError` for a column that is missing or no number, and where there are fewer runs than parameters.
    """
    _check_numbers(space, draws, starts, seed)
    law = law_of(law)
    chosen, given_weights = _chosen(runs, where or {}, weights)
    rows, reasons = usable_rows(chosen, law, target, space)
    used = chosen.take(rows)
    problem = build_problem(law, used, target=target, objective=objective, space=space)
    problem = replace(problem, weights=given_weights[rows])
    if problem.n < problem.n_free:
        raise UserError(
            f"{law.formula} has {problem.n_free} parameters, and {used.source} only {problem.n} usable "
            f"run{'s' if problem.n != 1 else ''}: add runs, or choose a law with fewer parameters."
        )
    # The optimum and its diagnosis don't hang on how many draws there are: the same kernel finds them always.
    kernel = kernel_for(problem, 0)
    solution = solve(problem, kernel, starts=starts)
    clusters = clusters_of(used)
    how = Resampling(resample or default_scheme(clusters), draws, seed, clusters, progress)
    _check_scheme(how, used)
    uncertainty = uncertainty_of(problem, solution.theta, how=how, kernel=kernel)
    best = problem.values(solution.theta[None])[0]
    findings = Findings(
        problem=problem,
        solution=solution,
        how=how,
        runs=used,
        influence=influential_runs(problem, solution.theta, kernel=kernel),
        noise=uncertainty.noise,
        misfit=uncertainty.misfit,
        dropped=reasons,
    )
    return Fit(
        law=law,
        values=dict(zip(problem.names, best.tolist(), strict=True)),
        draws=uncertainty.draws,
        status=(*status_of(findings), *_said_in_reading(runs)),
        objective=solution.value,
        certificate=solution.certificate,
        n_runs=problem.n,
        dropped=runs.dropped + len(chosen) - problem.n,
        noise=uncertainty.noise,
        spread=uncertainty.spread,
        misfit=uncertainty.misfit,
        target=target,
        space=space,
        method=objective,
        resample=how.scheme,
        seed=seed,
        domain={name: _extent(used, name) for name in law.variables},
        source=runs.source,
        residuals=problem.target - problem.predicted(solution.theta[None])[0],
        problem=problem,
    )


def _said_in_reading(runs: Runs) -> Iterator[Status]:
    for note in runs.notes:
        yield Status("table" if note in runs.doubts else "reading", note)


def law_of(law: Law | str) -> Law:
    """The law that a text names: a key of the catalogue, or a formula."""
    if isinstance(law, Law):
        return law
    return resolve(law)[0]


def _chosen(runs: Runs, where: Mapping[str, Any], weights: str | ArrayLike | None) -> tuple[Runs, Array]:
    """The runs that `where` keeps, and the weight of each."""
    keep = _mask(runs, where)
    if not keep.any():
        wanted = ", ".join(f"{column}={value}" for column, value in where.items())
        raise UserError(
            f"No run of {runs.source} has {wanted}."
            if where
            else f"{runs.source} has no runs: there is nothing to fit."
        )
    return runs.take(keep), _weights(weights, runs)[keep]


def _mask(runs: Runs, where: Mapping[str, Any]) -> NDArray[np.bool_]:
    keep = np.ones(len(runs), dtype=bool)
    for column, wanted in where.items():
        several = wanted if isinstance(wanted, (list, tuple, set, frozenset)) else (wanted,)
        cells = runs[column]
        matches = np.zeros(len(runs), dtype=bool)
        for one in several:
            matches |= cells == (float(one) if cells.dtype.kind == "f" else str(one))
        keep &= matches
    return keep


def _weights(weights: str | ArrayLike | None, runs: Runs) -> Array:
    if weights is None:
        return np.ones(len(runs))
    found = numeric_column(runs, weights) if isinstance(weights, str) else np.asarray(weights, dtype=np.float64)
    if found.shape != (len(runs),):
        raise UserError(f"weights has shape {found.shape}: it must have one number per run, {len(runs)}.")
    if not (np.isfinite(found).all() and (found >= 0).all() and found.any()):
        raise UserError("weights must be finite, none below zero and not all zero.")
    return found


def clusters_of(runs: Runs) -> Indices:
    """Which runs are not independent of each other: those of one trunk, else those of one run name; 0, 1, …: (n,)."""
    column = next((name for name in CLUSTER_COLUMNS if name in runs), None)
    if column is None:
        return np.arange(len(runs))
    names = np.asarray(runs[column]).astype(str)
    seen: dict[str | int, int] = {}
    # A row without a name stands for itself.
    codes = [seen.setdefault(name or row, len(seen)) for row, name in enumerate(names.tolist())]
    return np.array(codes, dtype=np.intp)


def _check_numbers(space: str, draws: int, starts: int | None, seed: int) -> None:
    if space not in get_args(Space):
        raise UserError(f"space={space!r} is neither 'log' nor 'raw'.")
    for name, value, least in (("draws", draws, 0), ("starts", 1 if starts is None else starts, 1), ("seed", seed, 0)):
        if int(value) != value or value < least:
            raise UserError(f"{name}={value!r} must be a whole number, {least} or more.")


def _check_scheme(how: Resampling, runs: Runs) -> None:
    if how.scheme not in get_args(Resample):
        raise UserError(f"resample={how.scheme!r} is none of {', '.join(get_args(Resample))}.")
    if how.scheme == "runs" and int(how.clusters.max()) + 1 == len(how.clusters):
        raise UserError(
            f'resample="runs" needs a column trunk or run in which rows of {runs.source} agree: use "cases".'
        )


def _extent(runs: Runs, name: str) -> tuple[float, float]:
    column = np.asarray(runs[name], dtype=np.float64)
    return float(column.min()), float(column.max())
