"""What a gain of accuracy costs in labels, and in pretraining: read off laws of the error, with intervals.

The laws have the form error = E + R, where R falls as a power. To gain g at a point where R = r, R must shrink by the
factor r / (r - g); where r <= g there is no way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from isoflop.fitting import Estimate, Fit
from isoflop.fitting.result import Values

CURVE = "E + A / finetuning_examples**alpha"
CURVES = "E[model] + A[model] / finetuning_examples**alpha"
"""Error against labels, of one model or of several that share the exponent."""
ENDLESS = 1e15
"""More labels, or times more compute, than there will ever be: a gain that the law does not allow."""
BARELY = 1.5
"""Within this factor of the least value that its range allows, an exponent is as good as 0."""
OPEN = 1e4
"""An interval with its ends so many times apart says nothing."""
FAR = 10.0
"""From this many times the most labels (or compute) measured on, an answer is marked as an extrapolation."""


@dataclass(frozen=True)
class Price:
    """What a gain costs: an amount with its interval, or None, and the words that say it or why it can't be said."""

    amount: Estimate | None
    sentence: str


@dataclass(frozen=True)
class Exchange:
    """The same gain bought with labels or with pretraining FLOPs, and the FLOPs that the next label is worth."""

    labels: Price
    flops: Price
    flops_per_label: Price


def labels_for(fit: Fit, *, labels: float, gain: float, model: str | None = None) -> Price:
    """How many labels beyond `labels` lower the error by `gain`; `fit` is of `CURVE`, or of `CURVES` with a `model`."""
    index = f"[{model}]" if "E[" in fit.law.formula else ""

    def more(v: Values) -> Any:
        rest = v["A" + index] / labels ** v["alpha"]
        return _amount(labels, rest, gain=gain, exponent=v["alpha"])

    return _price(fit, more, at=labels, thing="more labels")


def exchange(fit: Fit, *, labels: float, flops: float, gain: float) -> Exchange:
    """The price of `gain` at `labels` and `flops` of pretraining; `fit` is of the law `finetuning` with x in FLOPs.

    error = E + A / (x^alpha * finetuning_examples^beta) (Zhang et al. 2024, arXiv 2402.17193, equation 1).
    """
    unseen = _unseen(fit, alpha="more pretraining", beta="more labels")
    if unseen:
        nothing = Price(None, f"cannot say: {unseen}")
        return Exchange(nothing, nothing, nothing)

    def rest(v: Values) -> Any:
        return v["A"] / (flops ** v["alpha"] * labels ** v["beta"])

    def more_labels(v: Values) -> Any:
        return _amount(labels, rest(v), gain=gain, exponent=v["beta"])

    def more_flops(v: Values) -> Any:
        return _amount(flops, rest(v), gain=gain, exponent=v["alpha"])

    return Exchange(
        labels=_price(fit, more_labels, at=labels, thing="more labels"),
        flops=_price(fit, more_flops, at=flops, thing="more FLOPs of pretraining"),
        flops_per_label=_worth(fit, lambda v: v["beta"] / v["alpha"] * flops / labels),
    )


def _unseen(fit: Fit, **ways: str) -> str:
    """Which way, by the name of its exponent, is not seen to lower the error: the exponent's interval reaches its least
    value, at which the term is constant."""
    for name, way in ways.items():
        least = next(one.low for one in fit.law.parameters if one.name == name)
        found = fit.estimate(lambda v, name=name: v[name])  # type: ignore[misc]
        if found.low <= BARELY * least:
            return f"{way} is not seen to lower the error here ({name} = {found.value:.2g}, perhaps 0)"
    return ""


def _amount(at: float, rest: Any, *, gain: float, exponent: Any) -> Any:
    """How much more than `at` makes `rest` smaller by `gain`, where it falls with this power; else `ENDLESS`."""
    with np.errstate(all="ignore"):
        factor = np.exp(np.log(rest / np.maximum(rest - gain, 0.0)) / exponent)
        return np.minimum(np.where(np.isnan(factor), np.inf, at * (factor - 1)), ENDLESS * at)


def _price(fit: Fit, amount: Callable[[Values], Any], *, at: float, thing: str) -> Price:
    found, most = fit.estimate(amount), ENDLESS * at
    if not _is_believed(fit):
        return Price(None, f"cannot say: the fit did not converge to one optimum ({_doubt(fit)})")
    if found.low >= most:
        return Price(None, f"cannot say: no number of {thing} is enough, as this law has it")
    if found.value >= most:
        return Price(None, f"cannot say: at least {_told(found.low)} {thing}, and by the best fit no number is enough")
    if found.high >= most:
        best = f"{_told(found.value)} {thing} by the best fit and at least {_told(found.low)}"
        return Price(None, f"cannot say: {best}, but perhaps no number is enough")
    reach = 1 + found.value / at
    far = f", which reaches {reach:.0f} times beyond the most measured" if reach > FAR else ""
    return Price(found, f"{_told(found.value)} [{_told(found.low)}, {_told(found.high)}] {thing}{far}")


def _worth(fit: Fit, rate: Callable[[Values], Any]) -> Price:
    """The exchange rate at the margin, where both ways lower the error alike: (beta / alpha) * x / examples."""
    found = fit.estimate(rate)
    if not _is_believed(fit):
        return Price(None, f"cannot say: the fit did not converge to one optimum ({_doubt(fit)})")
    if found.high > OPEN * found.low:
        span = f"between {_told(found.low)} and {_told(found.high)} FLOPs of pretraining"
        return Price(None, f"cannot say: the next label is worth {span}, which tells nothing")
    told = f"{_told(found.value)} [{_told(found.low)}, {_told(found.high)}]"
    return Price(found, f"the next label is worth {told} FLOPs of pretraining")


def cheaper(worth: Price, *, usd_per_label: float, usd_per_flop: float) -> str:
    """Whether to label more or to pretrain more at these prices, or that it can't be said."""
    if worth.amount is None:
        return worth.sentence
    ratio = usd_per_label / usd_per_flop
    told = f"a label costs as much as {_told(ratio)} FLOPs, and {worth.sentence}"
    if ratio < worth.amount.low:
        return f"label more: {told}"
    if ratio > worth.amount.high:
        return f"pretrain more: {told}"
    return f"cannot say: {told}"


def _is_believed(fit: Fit) -> bool:
    return not any(one.code == "not_converged" for one in fit.status)


def _doubt(fit: Fit) -> str:
    return next(one.message for one in fit.status if one.code == "not_converged")


def _told(value: float) -> str:
    """Two digits: these are prices, not measurements."""
    if value >= 1e6:
        mantissa, power = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(power)}"
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 1 else f"{value:.2g}"


def curve_of(groups: int) -> str:
    """The formula for so many models."""
    return CURVES if groups > 1 else CURVE


def error_at(fit: Fit, *, labels: Any, model: Any = None) -> dict[str, Any]:
    """The columns at which `fit.predict` gives the error of `model` at `labels`."""
    return {"finetuning_examples": labels} | ({"model": model} if "E[" in fit.law.formula else {})
