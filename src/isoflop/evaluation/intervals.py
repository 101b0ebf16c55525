"""How sure a figure is: bootstrap intervals over examples, and paired tests between two models on the same examples.

N examples, K columns of numbers of each. A figure is a function of the columns' means, so one mechanism serves all:
accuracy (K = 1), bits per byte (nats and bytes), F1 (counts by label), BLEU (counts of n-grams). A function takes an
array (..., K) of means and gives (...): it is asked for thousands of resampled means at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import UserError

LEVEL = 0.95
DRAWS = 5_000
AT_ONCE = 1 << 22
"""Numbers drawn at once: 32 MiB."""

Array = NDArray[np.float64]
FigureOfMeans = Callable[[Array], Array]


def mean(means: Array) -> Array:
    """The figure that is the mean of its only column."""
    return means[..., 0]


def ratio(means: Array) -> Array:
    """The figure that is one column's sum over another's: nats over tokens."""
    return means[..., 0] / means[..., 1]


@dataclass(frozen=True)
class Interval:
    """A figure and its interval; `low` and `high` are None where there is nothing to resample."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """The figure of one model less that of another: its interval, and the p-value of `test` against no difference."""

    difference: Interval
    p_value: float
    test: str


@dataclass(frozen=True)
class Resampling:
    """How resampling is done: the same `seed` gives the same interval."""

    level: float = LEVEL
    draws: int = DRAWS
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise UserError(f"The level of an interval must be between 0 and 1, not {self.level}.")
        if self.draws < 100:
            raise UserError(f"A bootstrap needs at least 100 draws, not {self.draws}.")


def bootstrap_interval(
    values: ArrayLike, figure: FigureOfMeans = mean, *, resampling: Resampling | None = None
) -> Interval:
    """The figure of `values` (N,) or (N, K) with its bias-corrected and accelerated bootstrap interval over examples.

    BCa: Efron 1987, "Better bootstrap confidence intervals", J. Am. Stat. Assoc. 82, equations 2.3 and 6.6; the
    acceleration is from the jackknife. A bootstrap is too narrow for few examples, so its normal quantiles are those of
    Student's t times √(N/(N−1)) (Hesterberg 2015, arXiv 1411.5279, "expanded" intervals). Raises `UserError` for
    no values and for values that are not finite.
    """
    how, x_NK = resampling or Resampling(), _rows(values)
    value = float(figure(x_NK.mean(axis=0)))
    if len(x_NK) < 2 or (x_NK == x_NK[0]).all():
        return Interval(value, None, None)
    drawn = np.concatenate([figure(shares @ x_NK) for shares in _resampled(len(x_NK), how)])
    return Interval(value, *_bca(drawn, value, _jackknife(x_NK, figure), _quantile(len(x_NK), how.level)))


def paired_test(
    a: ArrayLike, b: ArrayLike, figure: FigureOfMeans = mean, *, resampling: Resampling | None = None
) -> Comparison:
    """How much the figure of `a` is above that of `b`, whose rows are of the same examples in the same order.

    The interval is the paired bootstrap's (BCa). The p-value is two-sided: for a mean of zeros and ones McNemar's exact
    test (the binomial one on the examples in which the two differ), else approximate randomisation, which swaps the two
    models on each example by chance (Noreen 1989; Riezler and Maxwell 2005, section 4), with the observed arrangement
    among those counted. Raises `UserError` where the two are of different numbers of examples.
    """
    how, a_NK, b_NK = resampling or Resampling(), _rows(a), _rows(b)
    if a_NK.shape != b_NK.shape:
        raise UserError(f"Models are compared on the same examples: {len(a_NK):,} and {len(b_NK):,} can't be paired.")
    columns = a_NK.shape[1]

    def difference(means: Array) -> Array:
        return figure(means[..., :columns]) - figure(means[..., columns:])

    found = bootstrap_interval(np.hstack([a_NK, b_NK]), difference, resampling=how)
    if figure is mean and _is_binary(a_NK) and _is_binary(b_NK):
        return Comparison(found, _mcnemar(a_NK[:, 0], b_NK[:, 0]), "McNemar's exact test")
    return Comparison(found, _randomisation(a_NK, b_NK, figure, how), "approximate randomisation")


def _rows(values: ArrayLike) -> Array:
    x = np.asarray(values, dtype=np.float64)
    x_NK = x[:, None] if x.ndim == 1 else x
    if x_NK.ndim != 2 or not x_NK.size:
        raise UserError(f"An interval needs a row of numbers for each example, not an array of shape {x.shape}.")
    if not np.isfinite(x_NK).all():
        raise UserError("Some examples have a value that is not finite: no interval can be made of them.")
    return x_NK


def _resampled(count: int, how: Resampling) -> Iterator[Array]:
    """Shares (draws, N) in which the examples stand in resampled data, some draws at a time."""
    draw, step = np.random.default_rng(how.seed), max(1, AT_ONCE // count)
    for start in range(0, how.draws, step):
        rows = min(step, how.draws - start)
        chosen = draw.integers(0, count, (rows, count)) + np.arange(rows)[:, None] * count
        yield np.bincount(chosen.ravel(), minlength=rows * count).reshape(rows, count) / count


def _jackknife(x_NK: Array, figure: FigureOfMeans) -> Array:
    """The figure without each example in turn (N,)."""
    return figure((x_NK.sum(axis=0) - x_NK) / (len(x_NK) - 1))


def _quantile(count: int, level: float) -> float:
    """How many standard errors an interval of so many examples reaches."""
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, count - 1) * (count / (count - 1)) ** 0.5)


def _bca(drawn: Array, value: float, without_N: Array, reach: float) -> tuple[float | None, float | None]:
    from scipy.stats import norm

    if not (np.isfinite(drawn).all() and np.isfinite(without_N).all()) or np.ptp(drawn) == 0:
        return None, None
    below = ((drawn < value).mean() + (drawn <= value).mean()) / 2
    bias = norm.ppf(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))
    pull_N = without_N.mean() - without_N
    spread = (pull_N**2).sum() ** 1.5
    acceleration = (pull_N**3).sum() / (6 * spread) if spread else 0.0
    z = bias + np.array([-reach, reach])
    low, high = np.quantile(drawn, norm.cdf(bias + z / (1 - acceleration * z)))
    return float(low), float(high)


def _is_binary(x_NK: Array) -> bool:
    return x_NK.shape[1] == 1 and bool(np.isin(x_NK, (0.0, 1.0)).all())


def _mcnemar(a_N: Array, b_N: Array) -> float:
    from scipy.stats import binomtest

    only_a, only_b = int((a_N > b_N).sum()), int((b_N > a_N).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def _randomisation(a_NK: Array, b_NK: Array, figure: FigureOfMeans, how: Resampling) -> float:
    count, draw = len(a_NK), np.random.default_rng([how.seed, 1])
    middle_K, half_NK = (a_NK + b_NK).mean(axis=0) / 2, (a_NK - b_NK) / 2

    def distance(pull: Any) -> Array:
        return np.abs(figure(middle_K + pull) - figure(middle_K - pull))

    seen, extreme, step = float(distance(half_NK.mean(axis=0))), 0, max(1, AT_ONCE // count)
    for start in range(0, how.draws, step):
        signs = draw.integers(0, 2, (min(step, how.draws - start), count)) * 2.0 - 1.0
        extreme += int((distance(signs @ half_NK / count) >= seen * (1 - 1e-12)).sum())
    return (1 + extreme) / (1 + how.draws)
