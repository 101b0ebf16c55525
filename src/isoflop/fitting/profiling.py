"""Profile likelihood: the best objective that is left when one parameter is held at each of a range of values."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from isoflop.errors import UserError
from isoflop.fitting.evaluation import Kernel, jacobian
from isoflop.fitting.kernels import kernel_for
from isoflop.fitting.problem import Array, Problem
from isoflop.fitting.solver import polish_one

MOST_POINTS = 40
"""Values tried on each side."""
WIDEST = 40.0
"""How far to go in a coordinate, which is a logarithm (a factor of 1e17) or the parameter itself."""


@dataclass(frozen=True)
class Profile:
    """How the best objective rises as one parameter leaves its optimum, and the interval that follows.

    `low` or `high` is None where the objective never rises enough: the runs do not bound the parameter on that side.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    level: float
    grid: Array
    """Values at which the parameter was held, in order."""
    objective: Array
    """The best objective at each, before the penalty's scale."""
    threshold: float
    """The objective at the ends of the interval."""

    def __str__(self) -> str:
        ends = ["not bounded" if end is None else f"{end:.4g}" for end in (self.low, self.high)]
        return f"{self.name} = {self.value:.4g} [{ends[0]}, {ends[1]}]"


def profile_of(problem: Problem, best: Array, *, name: str, level: float) -> Profile:
    """The `Profile` of one flat parameter about the optimum `best` (F,), in coordinates.

    The interval ends where the objective has risen by phi t**2 / 2, with t Student's quantile and phi the ratio of the
    variance of a run's score to its curvature, which makes an objective that is no likelihood comparable to one
    (Huber and Ronchetti 2009, section 13). Raises `UserError` where the law has no such parameter.
    """
    if name not in problem.names:
        raise UserError(f"The fit has no parameter {name} (it has {', '.join(problem.names)}).")
    flat = problem.names.index(name)
    if not problem.free[flat]:
        raise UserError(f"{name} is held at {best[flat]:g}, so there is nothing to profile.")
    kernel = kernel_for(problem, MOST_POINTS)
    start = float(polish_one(problem, best[None], kernel).value[0])
    with np.errstate(all="ignore"):  # an objective that hardly rises has no ends, or such as can't be computed with
        rise = _rise(problem, best, level)
        step = _standard_error(problem, best, flat)
    sides = [_walk(problem, best, flat, (sign * step, start + 2 * rise), kernel) for sign in (-1.0, 1.0)]
    points = [*reversed(sides[0]), (float(best[flat]), start), *sides[1]]
    theta, objective = (np.array(one) for one in zip(*points, strict=True))
    middle = len(sides[0])
    low = _crossing(theta[middle::-1], objective[middle::-1], start + rise)
    high = _crossing(theta[middle:], objective[middle:], start + rise)
    return Profile(
        name=name,
        value=_value(problem, flat, float(best[flat])),
        low=None if low is None else _value(problem, flat, low),
        high=None if high is None else _value(problem, flat, high),
        level=level,
        grid=np.array([_value(problem, flat, one) for one in theta]),
        objective=objective,
        threshold=start + rise,
    )


def _walk(
    problem: Problem, best: Array, flat: int, goal: tuple[float, float], kernel: Kernel
) -> list[tuple[float, float]]:
    """(coordinate, best objective) at growing distance on one side, until the objective is above `goal[1]`."""
    step, enough = goal
    found: list[tuple[float, float]] = []
    theta, distance = best, 0.0
    for _ in range(MOST_POINTS):
        distance += step * (0.5 if len(found) < 8 else 0.25 * len(found))
        at = float(np.clip(best[flat] + distance, problem.low[flat], problem.high[flat]))
        if (found and at == found[-1][0]) or at == best[flat] or abs(at - best[flat]) > WIDEST:
            break
        fixed_low, fixed_high = problem.low.copy(), problem.high.copy()
        fixed_low[flat] = fixed_high[flat] = at
        starts = np.stack([theta, best])
        starts[:, flat] = at
        polished = polish_one(replace(problem, low=fixed_low, high=fixed_high), starts, kernel, tolerance=1e-10)
        which = int(np.argmin(polished.value))
        theta = polished.theta[which]
        found.append((at, float(polished.value[which])))
        if found[-1][1] > enough:
            break
    return found


def _crossing(theta: Array, objective: Array, level: float) -> float | None:
    """Where the objective first rises through `level`, going away from the optimum."""
    above = np.flatnonzero(objective > level)
    if not len(above):
        return None
    after = int(above[0])
    share = (level - objective[after - 1]) / (objective[after] - objective[after - 1])
    return float(theta[after - 1] + share * (theta[after] - theta[after - 1]))


def _rise(problem: Problem, best: Array, level: float) -> float:
    from scipy.special import stdtrit

    residuals = problem.target - problem.predicted(best[None])[0]
    # The curvature of the expected objective, over a width at which it is smooth: with a delta far below the noise
    # hardly a run lies within delta, and counting those would say nothing.
    width = max(1.4826 * float(np.median(np.abs(residuals))) * problem.n**-0.2, 1e-12)
    upper, lower = (float(_score(problem, residuals + sign * width).mean()) for sign in (1, -1))
    spare = max(problem.n - problem.n_free, 1)
    variance = (_score(problem, residuals) ** 2).sum() / spare
    phi = variance * 2 * width / max(upper - lower, 1e-300)
    return float(phi * stdtrit(spare, (1 + level) / 2) ** 2 / 2)


def _score(problem: Problem, residuals: Array) -> Array:
    """The derivative of each run's part of the objective in its residual."""
    clipped = np.clip(residuals, -problem.penalty.delta, problem.penalty.delta)
    return problem.weights * np.where(residuals > 0, problem.penalty.above, 1.0) * clipped


def _standard_error(problem: Problem, best: Array, flat: int) -> float:
    residuals = problem.target - problem.predicted(best[None])[0]
    slopes = jacobian(problem, best)
    units = np.maximum(np.linalg.norm(slopes, axis=0), 1e-300)
    information = (slopes / units).T @ (slopes / units)
    error = residuals.std() * np.sqrt(max(np.linalg.pinv(information, rcond=1e-12)[flat, flat], 0.0)) / units[flat]
    return float(np.clip(error, 1e-6 * max(abs(best[flat]), 1e-3), 1.0))


def _value(problem: Problem, flat: int, coordinate: float) -> float:
    theta = np.zeros(len(problem.names))
    theta[flat] = coordinate
    return float(problem.values(theta[None])[0, flat])
