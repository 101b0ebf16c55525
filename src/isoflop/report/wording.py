"""Numbers as a reader meets them: sensible digits, units, and the interval beside the value."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime

from isoflop.fitting import Estimate

NO_BREAK = "\u00a0"
_SUFFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "kappa": "κ", "lambda": "λ"}


_TIES = re.compile(
    r" (?=[%±\[=])|(?<=[±=]) |(?<=measured) (?=\d)"  # before and after a sign
    r"|(?<=\d) (?=(?:min|s|h)\b)|(?<=\bmin) (?=\d)|(?<=\bh) (?=\d)"  # within a duration
)


def count(value: float) -> str:
    """A number of parameters or tokens to three digits: 850, 340k, 1.25M, 3B."""
    rounded = float(f"{value:.3g}")
    for unit, suffix in _SUFFIXES:
        if rounded >= unit:
            return f"{rounded / unit:.3g}{suffix}"
    return f"{rounded:.3g}"


def power(value: float) -> str:
    """A large number in powers of ten, as in 3.4e13; the unit is the caller's to add."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def duration(seconds: float) -> str:
    """Seconds as 4.2 s, 41 s, 5 min 12 s or 2 h 04 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def short_duration(seconds: float) -> str:
    """A round time for a tick: 10 s, 5 min, 2 h."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"


def digits(half_width: float, *, least: int = 2, most: int = 5) -> int:
    """Decimals that show the first significant digit of an uncertainty of `half_width`."""
    if not math.isfinite(half_width) or half_width <= 0:
        return least
    return min(most, max(least, math.ceil(-math.log10(half_width))))


def interval(estimate: Estimate, *, least: int = 2, figures: int = 1) -> str:
    """A value with its interval, as in 2.31 [2.28, 2.34], with as many decimals as show `figures` of its half-width."""
    value, low, high = estimate.value, estimate.low, estimate.high
    if max(abs(value), abs(low), abs(high)) >= 1e5:
        return f"{_short(value)} [{_short(low)}, {_short(high)}]"
    places = digits((high - low) / 2 / 10 ** (figures - 1), least=least)
    return f"{value:.{places}f} [{low:.{places}f}, {high:.{places}f}]".replace("-", "−")


def _short(value: float) -> str:
    return power(value) if abs(value) >= 1e4 else f"{float(f'{value:.2g}'):g}"


def count_interval(estimate: Estimate) -> str:
    """A number of parameters or tokens with its interval, as in 310k [280k, 350k]."""
    return f"{count(estimate.value)} [{count(estimate.low)}, {count(estimate.high)}]"


def plus_minus(value: float, error: float | None) -> str:
    """A value with its standard error, as in 2.304 ± 0.006, or alone where the error isn't known."""
    if error is None:
        return f"{value:.3f}"
    places = digits(error)
    return f"{value:.{places}f} ± {error:.{places}f}"


def moment(stamp: str) -> str:
    """An ISO time as it is read, 2026-11-22 14:03:12 UTC; what is none is left as it is."""
    try:
        return datetime.fromisoformat(stamp).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    except ValueError:
        return stamp


def symbol(name: str) -> str:
    """A parameter's name as it is printed: `alpha` as α."""
    return _GREEK.get(name, name)


def unbroken(text: str) -> str:
    """`text` with no line break between a number and its unit, error or interval."""
    inside = re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", NO_BREAK), text)
    return _TIES.sub(NO_BREAK, inside)


def listed(items: Sequence[str]) -> str:
    """Words in a row: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def plural(number: int, thing: str) -> str:
    """A number of things: "1 run", "12 runs"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
