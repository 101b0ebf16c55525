"""`Fit` and what it gives: estimates and predictions, each with an interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import UserError
from isoflop.fitting.derived import derived_quantities
from isoflop.fitting.objectives import Objective
from isoflop.fitting.problem import Problem
from isoflop.fitting.solver import Certificate
from isoflop.fitting.status import Status, beyond
from isoflop.laws import Law

if TYPE_CHECKING:
    from isoflop.fitting.profiling import Profile

Array = NDArray[np.float64]
LEVEL = 0.9
"""The share of intervals that are to hold the truth, unless another is asked for."""


@dataclass(frozen=True)
class Estimate:
    """A number with the interval that is to hold the truth in `level` of studies like this one."""

    value: float
    low: float
    high: float
    level: float = LEVEL

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class Prediction:
    """The loss at one point (floats) or many (arrays), with the interval for the law or for what one run measures."""

    value: Any
    low: Any
    high: Any
    level: float
    of: Literal["law", "run"]
    status: tuple[Status, ...] = ()

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]" if np.ndim(self.value) == 0 else repr(self)


class Values(Mapping[str, Any]):
    """Parameter values by name, `v.alpha` or `v["E[c4]"]`: each a float, or an array over draws."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"the law has no parameter {name!r}")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, eq=False)
class Fit:
    """A law fitted to runs: what was found, how sure it is, and whether to believe it (`status`, to be read first)."""

    law: Law
    values: Mapping[str, float]
    """The optimum, by parameter (`E[c4]` where a parameter is indexed)."""
    draws: Array
    """(draws, parameters), in the order of `values`: optima on data that might have been measured instead."""
    status: tuple[Status, ...]
    objective: float
    """The summed objective at the optimum."""
    certificate: Certificate
    n_runs: int
    dropped: int
    """How many runs were left out; `status` says why."""
    noise: float
    """Standard deviation of a new run about the law, in `space`."""
    spread: Array
    """(draws,): the same in each draw, as uncertain as the residuals leave it."""
    misfit: float
    """At least 1: by how much more than noise the law failed to predict the larger of these runs from the smaller."""
    target: str
    space: Literal["log", "raw"]
    method: Objective
    resample: str
    seed: int
    domain: Mapping[str, tuple[float, float]]
    """Smallest and largest value of each variable among the runs fitted."""
    source: str
    residuals: Array = field(repr=False)
    """(n_runs,): measured minus fitted, in `space`."""
    problem: Problem | None = field(default=None, repr=False)
    """The data, for `profile`; None in a fit that was read from a file."""

    def estimate(self, fn: Callable[[Values], Any], *, level: float = LEVEL) -> Estimate:
        """The value of `fn(parameters)` at the optimum, with its interval over the draws.

        `fn` gets `Values`: `fit.estimate(lambda v: v.beta / (v.alpha + v.beta))`. It is called once with floats and
        once with arrays over draws (or, if it can't take arrays, once per draw). Draws that give no number are left
        out of the interval.
        """
        value = _or_nan(fn, Values(self.values))
        low, high = _interval(self._over_draws(fn), level)
        return Estimate(value, float(low), float(high), level)

    @property
    def parameters(self) -> dict[str, Estimate]:
        """Each parameter with its interval."""
        return {name: self.estimate(lambda v, name=name: v[name]) for name in self.values}  # type: ignore[misc]

    @property
    def fitted(self) -> tuple[str, ...]:
        """The names of the parameters that were fitted, the others being held at one value."""
        held = {one.name for one in self.law.parameters if one.held}
        return tuple(name for name in self.values if name.split("[")[0] not in held)

    def profile(self, name: str, *, level: float = LEVEL) -> Profile:
        """How the best objective rises as `name` leaves its optimum, and the interval that follows.

        Raises `UserError` where there is no such parameter, or the fit was read from a file, which has no runs.
        """
        from isoflop.fitting.profiling import profile_of

        if self.problem is None:
            raise UserError("A fit read from a file has no runs to profile: fit the table again.")
        best = self.problem.coordinates(np.array([list(self.values.values())]))[0]
        return profile_of(self.problem, best, name=name, level=level)

    @property
    def derived(self) -> dict[str, Estimate]:
        """What follows from the law's form: for laws in N and D, the exponents of the compute-optimal N and D."""
        return {name: self.estimate(quantity.of) for name, quantity in derived_quantities(self.law).items()}

    def summary(self) -> str:
        """The fit as text: status, formula with numbers, parameters, derived quantities, quality."""
        from isoflop.fitting.summary import summary_of

        return summary_of(self)

    def to_json(self) -> str:
        """The fit without its runs, as one JSON object."""
        from isoflop.fitting.storage import fit_to_json

        return fit_to_json(self)

    @staticmethod
    def from_json(text: str) -> Fit:
        """The fit that `to_json` wrote. Raises `UserError` where `text` is none."""
        from isoflop.fitting.storage import fit_from_json

        return fit_from_json(text)

    def predict(self, *, of: Literal["law", "run"] = "law", level: float = LEVEL, **columns: ArrayLike) -> Prediction:
        """The loss at the given columns (`N=7e9, D=1.4e11`; numbers, or arrays of equal length), with its interval.

        `of="law"` is the interval for the law's own value there; `of="run"` that for the loss that one new run will
        measure: the law's uncertainty, and the noise of a run, both widened by `misfit`. Raises `UserError` where a
        column that the law reads is not given.
        """
        value = self.law.loss(self.values, columns)
        over_draws = self.law.loss(self.draw_values, columns)
        if of == "run":
            over_draws = self._measured(value, over_draws)
        low, high = _interval(over_draws, level)
        status = tuple(beyond(self.domain, columns))
        if np.ndim(value) == 0:
            return Prediction(float(value), float(low), float(high), level, of, status)
        return Prediction(value, low, high, level, of, status)

    def _measured(self, value: Array, over_draws: Array) -> Array:
        """What a run would measure in each draw, about the law's `value`."""
        rng = np.random.default_rng([self.seed, 2])
        noise = (self.spread * rng.standard_normal(len(over_draws))).reshape(-1, *[1] * np.ndim(value))
        if self.space == "raw":
            return value + self.misfit * (over_draws - value + noise)
        with np.errstate(all="ignore"):
            return value * np.exp(self.misfit * (np.log(over_draws / value) + noise))

    @property
    def draw_values(self) -> Values:
        """The draws by parameter, each an array."""
        return Values({name: self.draws[:, i] for i, name in enumerate(self.values)})

    def _over_draws(self, fn: Callable[[Values], Any]) -> Array:
        with np.errstate(all="ignore"):
            try:
                found = np.asarray(fn(self.draw_values), dtype=np.float64)
            except (TypeError, ValueError):
                rows = (Values(dict(zip(self.values, row.tolist(), strict=True))) for row in self.draws)
                found = np.array([_or_nan(fn, row) for row in rows])
            return np.broadcast_to(found, (len(self.draws),))


def _interval(over_draws: Array, level: float) -> tuple[Array, Array]:
    """The middle `level` of the draws along the first axis; NaN where no draw gives a number."""
    if not 0 < level < 1:
        raise UserError(f"level={level!r} must be between 0 and 1, such as 0.9.")
    missing = np.isnan(over_draws).all(axis=0)  # true for no draws at all
    filled = np.where(missing, 0.0, over_draws) if len(over_draws) else np.zeros((1, *over_draws.shape[1:]))
    low, high = np.nanquantile(filled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.where(missing, np.nan, low), np.where(missing, np.nan, high)


def _or_nan(fn: Callable[[Values], Any], values: Values) -> float:
    try:
        return float(fn(values))
    except (ArithmeticError, ValueError):
        return float("nan")
