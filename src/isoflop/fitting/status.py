"""What to know before believing a fit, each in a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from isoflop.fitting.evaluation import jacobian
from isoflop.fitting.influence import Influence
from isoflop.fitting.problem import LARGEST, Array, Problem
from isoflop.fitting.resampling import Resampling
from isoflop.fitting.solver import Solution
from isoflop.laws.parsing import Binary, Node, names_in
from isoflop.runs import Runs

FEW_SPARE_RUNS = 4
FEW_LEVELS = 3
FEW_TRUNKS = 10
UNTOLD = 1.0
"""A direction along which parameters may move by this much of themselves (or by a factor e) is not identified."""
TRADED, TRADING = 0.03, 3
"""A parameter takes part in a trade-off if it moves, relative to itself, by this share of the one that moves most; and
how many are named. A coefficient moves by much more than the exponent that it trades with."""
WORTH_TELLING = 0.05
"""Relative change of a parameter from which on it matters that few runs decide it."""
FAR_WORSE = 1e4
"""Relative differences from here on are not told in per cent."""
LARGE_MISFIT = 1.5
FAR_BEYOND = 1.5
MANY = 5
"""Names that a message lists before it says how many more there are."""


@dataclass(frozen=True)
class Status:
    """Something to know before believing a fit; `message` says what it means and what to do."""

    code: str
    message: str


GOOD = frozenset({"converged"})
"""Codes that are no reason for doubt."""


@dataclass(frozen=True)
class Findings:
    """What the checks look at."""

    problem: Problem
    solution: Solution
    how: Resampling
    runs: Runs
    influence: Influence
    noise: float
    misfit: float
    dropped: tuple[str, ...]


def status_of(found: Findings) -> tuple[Status, ...]:
    """All that is to be said about a fit, whether it converged first."""
    checks = (_convergence, _bounds, _identification, _amounts, _influence, _rows, _misfit)
    with np.errstate(all="ignore"):  # a table that is odd enough to divide by zero is one to say something about
        return tuple(status for check in checks for status in check(found))


def beyond(domain: Mapping[str, tuple[float, float]], columns: Mapping[str, object]) -> Iterator[Status]:
    """How far a prediction lies beyond the runs fitted, for each variable that it is far beyond."""
    for name, (low, high) in domain.items():
        asked = np.asarray(columns[name], dtype=np.float64)
        above, below = float(asked.max() / high) if high > 0 else 0.0, float(low / max(asked.min(), 1e-300))
        if above > FAR_BEYOND:
            where = f"{name} = {asked.max():.3g} is {above:.3g}× beyond the largest fitted, {high:.3g}"
        elif below > FAR_BEYOND and low > 0:
            where = f"{name} = {asked.min():.3g} is {below:.3g}× below the smallest fitted, {low:.3g}"
        else:
            continue
        yield Status("extrapolates", f"{where}: the interval counts on the law's form holding that far.")


def _convergence(found: Findings) -> Iterator[Status]:
    evidence = found.solution.certificate
    if not evidence.converged:
        yield Status(
            "not_converged",
            f"The best of {evidence.polishes} polishes stopped short of its tolerance: the law may be flat or jagged "
            "there; give ranges such as Law(formula, alpha=(0.01, 1.5)), or more starts.",
        )
        return
    worse = ""
    if evidence.next_best is not None:
        excess = evidence.next_best / max(found.solution.value, 1e-300) - 1
        worse = f"; the next best optimum is {f'{100 * excess:.2g} %' if excess < FAR_WORSE else 'far'} worse"
    yield Status(
        "converged",
        f"{evidence.agree} of {evidence.polishes} polishes, from the best of {evidence.starts} points spread over the "
        f"ranges, end at one optimum{worse}.",
    )
    if evidence.agree == 1 and evidence.polishes > 1:
        yield Status(
            "starts_disagree",
            f"Only one of {evidence.polishes} polishes found the best optimum, so there may be a better one: fit again "
            f"with starts={8 * evidence.starts} and see that the objective stays at {found.solution.value:.8g}.",
        )


def _bounds(found: Findings) -> Iterator[Status]:
    problem, theta = found.problem, found.solution.theta
    slopes = np.abs(jacobian(problem, theta)).max(axis=0)
    for flat, name in enumerate(problem.names):
        parameter = problem.law.parameters[problem.of_parameter[flat]]
        low, high = theta[flat] <= problem.low[flat], theta[flat] >= problem.high[flat]
        if problem.in_log[flat] and slopes[flat] < 1e-7:
            yield Status(
                "at_bound",
                f"{name} has no effect: its term has gone to zero or to a constant. Fit a law without it, or add runs "
                "where it matters.",
            )
        elif (low or high) and problem.free[flat]:
            end, bound = ("lower", parameter.low) if low else ("upper", min(parameter.high, LARGEST))
            yield Status(
                "at_bound",
                f"{name} is at the {end} end of its range, {bound:g}: its interval has one side only. Widen the range "
                f"({parameter.name}=(low, high)) if that end is not meant, else fit a law without {name}.",
            )


def _identification(found: Findings) -> Iterator[Status]:
    problem, theta = found.problem, found.solution.theta
    held = (theta <= problem.low) | (theta >= problem.high)
    slopes = jacobian(problem, theta)
    size = np.where(problem.in_log, 1.0, np.maximum(np.abs(theta), 1e-9))
    relative = np.where(held, 0.0, slopes * size)
    live = np.flatnonzero(np.linalg.norm(relative, axis=0) > 0)
    if not len(live):
        return
    _, singular, directions = np.linalg.svd(relative[:, live], full_matrices=False)
    deviation = found.noise / np.maximum(singular[-1], 1e-300)
    tied = singular[-1] < 1e-9 * singular[0]
    if not tied and deviation * 1.645 < UNTOLD:
        return
    share = np.abs(directions[-1])
    flats = [int(live[i]) for i in np.argsort(-share)[:TRADING] if share[i] > TRADED * share.max()]
    names = _listed([problem.names[flat] for flat in sorted(flats)])
    variables = _variables_with(problem, [problem.of_parameter[flat] for flat in flats])
    ranges = _listed([f"{name} spans {_span(found.runs[name])}" for name in variables])
    trade, them = ("trade off against each other", "them apart") if len(flats) > 1 else ("can't be told", "it")
    also = " and " + _tie(found) if _tie(found) else ""
    yield Status(
        "not_identified",
        f"{names} {trade}: {ranges or 'the runs'}{also}, too little to tell {them}. Predictions within and near "
        "the runs hold, single values do not; add runs that widen the span.",
    )


def _amounts(found: Findings) -> Iterator[Status]:
    problem = found.problem
    spare = problem.n - problem.n_free
    if spare < FEW_SPARE_RUNS:
        yield Status(
            "too_few_runs",
            f"{problem.n} runs for {problem.n_free} parameters leave {spare} to tell the noise by: intervals are "
            "wide and rest on the normal model. Add runs, or use a law with fewer parameters.",
        )
    for name in problem.law.variables:
        levels = _levels(np.asarray(found.runs[name], dtype=np.float64))
        if levels < FEW_LEVELS:
            yield Status(
                "few_levels",
                f"{name} has {levels} level{'s' if levels > 1 else ''}: a power of {name} with a constant needs "
                f"{FEW_LEVELS} or more to be told. Add runs at other values of {name}.",
            )
    groups = int(found.how.clusters.max()) + 1
    if found.how.scheme == "runs" and groups < FEW_TRUNKS:
        yield Status(
            "few_trunks",
            f'Only {groups} trunks are drawn from: such intervals are too narrow. Use resample="mixed", the default '
            "for so few.",
        )


def _influence(found: Findings) -> Iterator[Status]:
    rows = found.influence.rows
    if not rows:
        return
    now, then = (found.problem.values(one[None])[0] for one in (found.solution.theta, found.influence.theta))
    change = np.abs(then - now) / np.maximum(np.abs(now), 1e-300)
    # An exponent says more than the coefficient that moves along with it.
    plain = [i for i in range(len(now)) if not found.problem.in_log[i]] or list(range(len(now)))
    most = max(plain, key=lambda i: float(change[i]))
    if change[most] < WORTH_TELLING:
        return
    code = "one_run_decides" if len(rows) == 1 else "few_runs_decide"
    verb, them = ("decides", "it") if len(rows) == 1 else ("decide", "them")
    percent = f" ({100 * (then[most] / now[most] - 1):+.0f} %)" if change[most] < FAR_WORSE else ""
    yield Status(
        code,
        f"{len(rows)} of {found.problem.n} runs {verb} the fit ({_named(found.runs, rows)}): without {them} "
        f"{found.problem.names[most]} is {then[most]:.4g} instead of {now[most]:.4g}{percent}. "
        f"Look at what is special about {them} before believing either.",
    )


def _rows(found: Findings) -> Iterator[Status]:
    if found.dropped:
        yield Status("dropped", " ".join(found.dropped))
    repeats = _repeats(found.problem)
    if repeats:
        yield Status(
            "duplicates",
            f"{repeats} of {found.problem.n} rows repeat another row exactly: they count as independent runs, which "
            "makes intervals too narrow. Remove them.",
        )
    if "params_convention" in found.runs and len(conventions := np.unique(found.runs["params_convention"])) > 1:
        yield Status(
            "mixed_conventions",
            f"N is counted in {len(conventions)} ways ({_listed([str(one) for one in conventions])}): exponents differ "
            "between conventions. Fit runs with one of them (where=...).",
        )
    if "run" in found.runs and "trunk" not in found.runs:
        many = int((np.bincount(found.how.clusters) > 1).sum())
        if many:
            yield Status(
                "mid_schedule",
                f"{many} runs have several rows: checkpoints read before the learning rate has decayed lie above the "
                "law of finished runs. Keep the last row of each, unless each was decayed on its own.",
            )


def _misfit(found: Findings) -> Iterator[Status]:
    if found.misfit > LARGE_MISFIT:
        yield Status(
            "misfit",
            f"Fitted to its smaller runs, the law misses the larger ones {found.misfit:.1f} times further than noise "
            "explains; intervals of new runs are widened by that. Compare with another law, or fit only the larger.",
        )


def _levels(column: Array) -> int:
    """How many values there are, those within 2 % of the smallest of a level being one; counted up to `FEW_LEVELS`."""
    values = np.unique(column)
    levels, at = 0, 0
    while at < len(values) and levels < FEW_LEVELS:
        levels += 1
        at = int(np.searchsorted(values, values[at] + 0.02 * abs(values[at]), side="right"))
    return levels


def _repeats(problem: Problem) -> int:
    hashes = np.zeros(problem.n, dtype=np.uint64)
    for column in (*problem.columns, problem.target, *(np.broadcast_to(one, problem.n) for one in problem.place)):
        bits = np.ascontiguousarray(column).view(np.uint64)
        hashes = (hashes ^ bits) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: 2**64 over the golden ratio
        hashes ^= hashes >> np.uint64(29)
    return problem.n - len(np.unique(hashes))


def _tie(found: Findings) -> str:
    """Words for variables that rise in step, or none."""
    variables = [name for name in found.problem.law.variables if (np.asarray(found.runs[name]) > 0).all()]
    for i, one in enumerate(variables):
        for other in variables[i + 1 :]:
            logs = np.log([np.asarray(found.runs[name], dtype=np.float64) for name in (one, other)])
            if (logs.std(axis=1) > 1e-9).all() and abs(np.corrcoef(logs)[0, 1]) > 0.98:
                return f"{one} and {other} rise in step"
    return ""


def _variables_with(problem: Problem, parameters: list[int]) -> list[str]:
    """The variables in the terms of the formula that hold any of the parameters."""
    wanted = {problem.law.names[i] for i in parameters}
    found: dict[str, None] = {}
    for term in terms_of(problem.law.tree):
        names = {name.name for name in names_in(term)}
        if names & wanted:
            found |= {name: None for name in problem.law.variables if name in names}
    return list(found)


def terms_of(node: Node) -> list[Node]:
    """What a formula adds and subtracts."""
    if isinstance(node, Binary) and node.operator in ("+", "-"):
        return [*terms_of(node.left), *terms_of(node.right)]
    return [node]


def _span(column: Array) -> str:
    column = np.asarray(column, dtype=np.float64)
    low, high = float(column.min()), float(column.max())
    return f"{high / low:.3g}×" if low > 0 else f"{low:.3g} to {high:.3g}"


def _named(runs: Runs, rows: tuple[int, ...]) -> str:
    names = np.asarray(runs["run"]).astype(str) if "run" in runs else np.full(len(runs), "")
    return _listed([names[row] or f"row {row + 1}" for row in sorted(rows)])


def _listed(words: list[str]) -> str:
    if len(words) > MANY:
        return ", ".join(words[:MANY]) + f" and {len(words) - MANY} more"
    return " and ".join(words) if len(words) < 3 else ", ".join(words[:-1]) + " and " + words[-1]
