"""The catalogue as text for a terminal of 80 columns, and as plain data for JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from isoflop.laws.catalogue.entry import Constant, Entry, PublishedSet, Symbol

WIDTH = 80


def table(entries: Iterable[Entry]) -> str:
    """A line or two per law: key, what it predicts from what, paper, number of published sets of values."""
    rows = [("key", "predicts", "paper", "sets")]
    rows += [
        (
            entry.key,
            f"{entry.target.meaning} from {', '.join(entry.columns)}",
            entry.source,
            str(len(entry.sets) or "-"),
        )
        for entry in entries
    ]
    key, paper, sets = (max(len(row[i]) for row in rows) for i in (0, 2, 3))
    predicts = WIDTH - key - paper - sets - 2 * 3
    lines: list[str] = []
    for row in rows:
        first, *rest = textwrap.wrap(row[1], predicts)
        lines.append(f"{row[0]:<{key}}  {first:<{predicts}}  {row[2]:<{paper}}  {row[3]:>{sets}}")
        lines += [" " * (key + 2) + more for more in rest]
    return "\n".join(lines)


def page(entry: Entry, sets: Sequence[PublishedSet] | None = None) -> str:
    """Everything that the catalogue knows of a law, or with only some of its published sets."""
    chosen = entry.sets if sets is None else sets
    blocks = [
        f"{entry.key}: {entry.name}",
        _paragraph(f"{entry.target.name} = {entry.formula}", "  ", "      "),
        *([_labelled("that is", entry.equation)] if entry.equation else []),
        _labelled("predicts", f"{entry.target.name}, {entry.target.meaning} ({entry.target.unit})"),
        _labelled("fitted on", entry.domain),
        *([_labelled("note", entry.note)] if entry.note else []),
        _labelled("source", f"{entry.source}, {entry.where}; checked against: {entry.verified}"),
        "",
        *_symbols("Variables", entry.variables),
        "",
        *_symbols("Parameters", entry.parameters),
        "",
        *(_sets(entry, chosen) if chosen else ["No published values: fit it."]),
        *(["", "Papers"] if entry.papers else []),
        *(_paragraph(paper.citation, "  ", "      ") for paper in entry.papers),
        *(f"\n{paper.bibtex}" for paper in entry.papers),
    ]
    return "\n".join(blocks)


def as_data(entry: Entry, sets: Sequence[PublishedSet] | None = None) -> dict[str, Any]:
    """A law as numbers and strings for JSON; a range without an end has null there."""
    return {
        "key": entry.key,
        "name": entry.name,
        "formula": entry.formula,
        "equation": entry.equation,
        "target": asdict(entry.target),
        "variables": [asdict(symbol) for symbol in entry.variables],
        "parameters": [
            asdict(constant) | {"high": None if math.isinf(constant.high) else constant.high}
            for constant in entry.parameters
        ],
        "domain": entry.domain,
        "note": entry.note,
        "where": entry.where,
        "verified": entry.verified,
        "citation": entry.paper.citation if entry.paper else None,
        "bibtex": entry.paper.bibtex if entry.paper else None,
        "sets": [
            {
                "source": published.source,
                "values": dict(published.values),
                "where": published.where,
                "verified": published.verified,
                "note": published.note,
                "citation": published.paper.citation,
                "bibtex": published.paper.bibtex,
            }
            for published in (entry.sets if sets is None else sets)
        ],
    }


def _paragraph(text: str, first: str, rest: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def _labelled(label: str, text: str) -> str:
    return _paragraph(text, f"  {label:<10} ", " " * 13)


def _number(value: float) -> str:
    if abs(value) < 1e6 or math.isinf(value):
        return f"{value:.9g}"
    digits, power = f"{value:.8e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


def _range(constant: Constant) -> str:
    low, high = _number(constant.low), _number(constant.high)
    return f"{low} or more" if math.isinf(constant.high) else f"{low} to {high}"


def _symbols(title: str, symbols: Sequence[Symbol]) -> list[str]:
    width = max(len(symbol.name) for symbol in symbols)
    lines = [title]
    for symbol in symbols:
        facts = [] if symbol.unit == "1" else [symbol.unit]
        facts += [_range(symbol)] if isinstance(symbol, Constant) else []
        text = f"{symbol.meaning} [{'; '.join(facts)}]" if facts else symbol.meaning
        lines.append(_paragraph(text, f"  {symbol.name:<{width}}  ", " " * (width + 4)))
    return lines


def _sets(entry: Entry, sets: Sequence[PublishedSet]) -> list[str]:
    lines = ["Published values"]
    for published in sets:
        values = ", ".join(f"{name} {_number(value)}" for name, value in published.values.items())
        lines += [
            f"  {entry.key}:{published.source}",
            _paragraph(values, "    ", "    "),
            _paragraph(f"{published.paper.short}, {published.where}", "    ", "      "),
            _paragraph(f"checked against: {published.verified}", "    ", "      "),
            *([_paragraph(published.note, "    ", "      ")] if published.note else []),
        ]
    return lines
