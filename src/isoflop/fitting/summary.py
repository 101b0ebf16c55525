"""A fit as text, in the order in which it should be read: may I believe it, what is it, how sure, how good."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from isoflop.fitting.derived import derived_quantities
from isoflop.fitting.result import Estimate, Fit
from isoflop.fitting.status import GOOD
from isoflop.laws.writing import text_with_numbers

WIDTH = 80
"""Columns of the narrowest usual terminal."""
_LABEL = 12
_SCHEMES = {
    "cases": "runs drawn with replacement",
    "runs": "trunks drawn with replacement",
    "residuals": "residuals drawn with replacement",
    "wild": "signs of residuals drawn",
    "mixed": "normal errors per run and per trunk",
}


def summary_of(fit: Fit) -> str:
    """Status, formula with numbers, parameters with intervals, derived quantities and quality, as lines of text."""
    blocks = [_status(fit), _law(fit), _parameters(fit), _derived(fit), _quality(fit)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def significant(value: float, low: float, high: float) -> list[str]:
    """The three numbers with as many digits as the width of the interval deserves: two of its own."""
    width = high - low
    if not np.isfinite([value, low, high]).all() or width <= 0:
        return [f"{one:.5g}" for one in (value, low, high)]
    digits = 1 - int(np.floor(np.log10(width)))
    largest = max(abs(value), abs(low), abs(high))
    if largest >= 1e6 or largest < 1e-3:
        return [f"{one:.4g}" for one in (value, low, high)]
    return [f"{one:.{max(digits, 0)}f}" for one in (value, low, high)]


def _status(fit: Fit) -> str:
    doubts = [one for one in fit.status if one.code not in GOOD and one.code != "reading"]
    head = "may be believed" if not doubts else f"read {len(doubts)} remark{'s' if len(doubts) > 1 else ''} first"
    lines = [_line("Status", head)]
    for one in fit.status:
        lines += textwrap.wrap(
            f"{one.code}: {one.message}", WIDTH, initial_indent="  - ", subsequent_indent="    ", break_long_words=False
        )
    return "\n".join(lines)


def _law(fit: Fit) -> str:
    numbers = {name: f"{value:.4g}" for name, value in fit.values.items()}
    left_out = f", {fit.dropped} left out" if fit.dropped else ""
    spans = ", ".join(f"{name} {low:.3g} to {high:.3g}" for name, (low, high) in fit.domain.items())
    lines = [_line("Law", f"{fit.target} = {fit.law.formula}")]
    if not any(one.index for one in fit.law.parameters) and len(fit.law.formula) < WIDTH:
        lines.append(_line("", f"{' ' * len(fit.target)} = {text_with_numbers(fit.law.tree, numbers)}"))
    lines.append(_line("Runs", f"{fit.n_runs} of {fit.source}{left_out}; {spans}"))
    residual = f"log {fit.target}" if fit.space == "log" else fit.target
    lines.append(_line("Objective", f"{fit.objective:.12g} = sum of {fit.method} over residuals of {residual}"))
    return "\n".join(lines)


def _parameters(fit: Fit) -> str:
    if not len(fit.draws):
        rows = [(name, f"{value:.6g}", "", "") for name, value in fit.values.items()]
        return _table(("Parameter", "value", "", ""), rows)
    rows = []
    roles = {one.name: one for one in fit.law.parameters}
    for name, estimate in fit.parameters.items():
        own = roles[name.split("[")[0]]
        role = own.role if own.index is None else f"{own.role}, one per {own.index}"
        rows.append((name, f"{estimate.value:.6g}", "", "held") if own.held else (name, *_cells(estimate), role))
    how = f"{len(fit.draws)} draws: {_SCHEMES[fit.resample]}, seed {fit.seed}"
    return _table(("Parameter", "value", "90 % interval", ""), rows) + f"\n  ({how})"


def _derived(fit: Fit) -> str:
    if not len(fit.draws):
        return ""
    quantities = derived_quantities(fit.law)
    rows = [(name, *_cells(one), quantities[name].meaning) for name, one in fit.derived.items()]
    return _table(("Derived", "value", "90 % interval", ""), rows) if rows else ""


def _quality(fit: Fit) -> str:
    unit = " %" if fit.space == "log" else ""
    scale = 100 if fit.space == "log" else 1
    size = np.abs(fit.residuals)
    lines = [
        _line("Residuals", f"median {scale * np.median(size):.3g}{unit}, largest {scale * size.max():.3g}{unit}"),
        _line("Noise", f"a new run scatters by {scale * fit.noise:.3g}{unit} (standard deviation)"),
        _line("Misfit", f"predictions of new runs are widened {fit.misfit:.2f} times"),
    ]
    evidence = fit.certificate
    found = f"{evidence.agree} of {evidence.polishes} polishes agree, gradient {evidence.gradient_norm:.1g}"
    return "\n".join([*lines, _line("Optimum", found)])


def _cells(estimate: Estimate) -> tuple[str, str]:
    value, low, high = significant(estimate.value, estimate.low, estimate.high)
    return value, f"[{low}, {high}]"


def _line(label: str, text: str) -> str:
    wrapped = textwrap.wrap(text, WIDTH - _LABEL, break_long_words=False) or [""]
    return "\n".join(f"{label if i == 0 else '':<{_LABEL}}{line}" for i, line in enumerate(wrapped))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns: name to the left, value to the right, interval and remark to the left."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(4)]
    widths[0] = max(widths[0], _LABEL - 1)
    return "\n".join(
        f"{row[0]:<{widths[0]}} {row[1]:>{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}".rstrip()
        for row in (head, *rows)
    )
