"""From raw columns to `Runs`: numbers read, rows chosen, gaps filled, what no law can use left out; all of it noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import UserError
from isoflop.runs.names import ALIASES, COUNTS, QUANTITIES, Naming, list_some, name_columns, parse_pairs
from isoflop.runs.numbers import MISSING, codes_of, read_number, read_numbers, to_float64, without
from isoflop.runs.table import SYMBOLS, Column, Runs
from isoflop.runs.tabular import RawTable
from isoflop.runs.units import suspect_name, suspect_units

Where = Mapping[str, Any]

LARGEST: Mapping[str, float] = {"params": 1e18, "tokens": 1e21, "flops": 1e36, "loss": 1e9}
"""What a row must have in a usable size where the table has it at all. Beyond these a value is a slip of the pen: a
million times the largest run there has been (loss: in any unit)."""

SMALLEST = 1e-12
"""Below this a loss or a count, in whatever unit, is zero."""

HEAD_ROWS = 100
"""How far a column is looked at to see whether it holds numbers."""


def clean(raw: RawTable, mapping: str | Mapping[str, str] | None, where: Where) -> Runs:
    """The runs of `raw` that satisfy `where` and can be used, with a note on everything that was changed.

    Raises `UserError` where there is no loss, a quantity is no number, or no row is left.
    """
    if not len(raw) and raw.dropped:
        raise UserError(f"{raw.source} has no rows that can be used. {raw.doubts[0]}")
    if not len(raw):
        raise UserError(f"{raw.source} has no rows: a table needs a header line and a line for each run.")
    raw = _without_empty(raw, parse_pairs(mapping, "mapping"))
    naming = name_columns({name: _holds_numbers(array) for name, array in raw.columns.items()}, mapping, raw.source)
    columns, notes = _read_columns(raw, naming)
    notes = [*raw.notes, *naming.notes, *notes]
    _require_loss(columns, raw.source)
    keep, note = _choose(columns, where, naming, raw.source)
    notes.extend(note)
    rows = np.flatnonzero(keep)
    columns = {name: column[rows] for name, column in columns.items()}
    notes.extend(_leave_out_empty(columns))
    _require_loss(columns, raw.source)
    notes.extend(_complete(columns))
    usable, unusable = _usable(columns, rows, raw.source)
    columns = {name: column[usable] for name, column in columns.items()}
    runs = Runs(columns, raw.source)
    suspicions = (*suspect_name(*naming.columns["loss"]), *suspect_units(runs))
    doubts = (*raw.doubts, *unusable, *suspicions, *_poor(runs))
    dropped = raw.dropped + int((~usable).sum())
    return Runs(columns, raw.source, (*notes, *doubts), doubts, dropped)


def _without_empty(raw: RawTable, mapping: Mapping[str, str]) -> RawTable:
    """`raw` without the columns that hold nothing, so that none of them is taken for a quantity that another holds."""
    empty = [
        name
        for name, array in raw.columns.items()
        if _is_empty(array) and not any(name in one for one in mapping.values())
    ]
    columns = {name: array for name, array in raw.columns.items() if name not in empty}
    return replace(raw, columns=columns, notes=(*raw.notes, *_empty_note(empty)))


def _holds_numbers(array: Any) -> bool:
    """Whether a column can be guessed to hold a quantity: its first value that is there is a number."""
    if not _is_text(array):
        return True
    first = next((text for text in array[:HEAD_ROWS].to_pylist() if text and text.strip().lower() not in MISSING), "")
    return read_number(first, count=True, decimal_comma=True) is not None


def _is_empty(array: Any) -> bool:
    import pyarrow.compute as pc

    if _is_text(array):
        return not pc.max(pc.utf8_length(pc.utf8_trim_whitespace(array))).as_py()
    return bool(np.isnan(to_float64(array)).all())


def _empty_note(names: Sequence[str]) -> list[str]:
    return [f"Left out columns without any value: {list_some(names)}."] if names else []


def _read_columns(raw: RawTable, naming: Naming) -> tuple[dict[str, Column], list[str]]:
    columns: dict[str, Column] = {}
    notes: list[str] = []
    for word, (name, factor) in naming.columns.items():
        array = raw.columns[name]
        if word == "run":
            columns[word] = _as_text(array)
        elif _is_text(array) and word not in QUANTITIES and factor == 1.0:
            columns[word] = _as_text(array) if raw.typed and word not in ALIASES else _numbers_or_text(array)
        elif _is_text(array):
            columns[word], note = read_numbers(
                array, name, count=word in COUNTS, decimal_comma=raw.decimal_comma, source=raw.source
            )
            notes.extend([note] if note else [])
        else:
            columns[word] = to_float64(array)
        if factor != 1.0:
            columns[word] = columns[word] * factor
            notes.append(f"{word} is column {name!r} times {factor:g}.")
    return columns, notes


def _is_text(array: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_large_string(array.type))


def _numbers_or_text(array: Any) -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    blank = pc.match_substring_regex(array, pattern=r"^\s*$")
    try:
        return to_float64(pc.cast(without(array, blank), pa.float64()))
    except pa.ArrowInvalid:
        return _as_text(array)


def _as_text(array: Any) -> Column:
    """Text as a column of Python strings; equal ones are the same object, so that a million rows stay small."""
    if not _is_text(array):
        return np.array([f"{value:.15g}" for value in to_float64(array)], dtype=object)
    encoded = array.dictionary_encode()
    texts = np.array([*encoded.dictionary.to_pylist(), ""], dtype=object)
    return texts[codes_of(encoded)]


def _require_loss(columns: Mapping[str, Column], source: str) -> None:
    if "loss" not in columns:
        raise UserError(
            f"{source} has no column for the loss (it has {list_some(list(columns))}): name it with --map L=COLUMN."
        )


def _choose(
    columns: Mapping[str, Column], where: Where, naming: Naming, source: str
) -> tuple[NDArray[np.bool_], list[str]]:
    keep = np.ones(len(columns["loss"]), dtype=bool)
    words = {name: word for word, (name, _) in naming.columns.items()}
    for asked, value in where.items():
        name = SYMBOLS.get(asked, asked)
        name = name if name in columns else words.get(asked, name)
        if name not in columns:
            raise UserError(f"where: {source} has no column {asked!r} (it has {list_some(list(columns))}).")
        allowed = [value] if isinstance(value, str) or not isinstance(value, Sequence) else list(value)
        hits = np.isin(columns[name], _like(columns[name], allowed, asked))
        if not hits.any():
            have = [f"{one:g}" if isinstance(one, float) else str(one) for one in dict.fromkeys(columns[name].tolist())]
            raise UserError(f"where: no row has {asked} = {value!r}; {asked} is {list_some(have, 6)}.")
        keep &= hits
    if not keep.any():
        raise UserError(f"where: no row of {source} satisfies all of {dict(where)}: ask for less.")
    note = [f"Kept the {int(keep.sum())} of {len(keep)} rows where {_said(where)}."] if not keep.all() else []
    return keep, note


def _said(where: Where) -> str:
    return " and ".join(f"{name} = {value}" for name, value in where.items())


def _like(column: Column, allowed: Sequence[Any], asked: str) -> Column:
    if column.dtype.kind != "f":
        return np.array([str(one) for one in allowed], dtype=object)
    numbers = [read_number(str(one), count=True) for one in allowed]
    if any(number is None for number in numbers):
        raise UserError(f"where: {asked} is a column of numbers, and {allowed[numbers.index(None)]!r} is none.")
    return np.array(numbers, dtype=np.float64)


def _leave_out_empty(columns: dict[str, Column]) -> list[str]:
    empty = [
        name for name, column in columns.items()
        if (np.isnan(column).all() if column.dtype.kind == "f" else not column.astype(bool).any())
    ]  # fmt: skip
    for name in empty:
        del columns[name]
    return _empty_note(empty)


def _complete(columns: dict[str, Column]) -> list[str]:
    """Fill in flops = 6 * params * tokens where it is missing and both are there (Kaplan et al. 2020, section 2.1)."""
    if "params" not in columns or "tokens" not in columns:
        return []
    with np.errstate(over="ignore", invalid="ignore"):
        six = 6.0 * columns["params"] * columns["tokens"]
    flops = columns.get("flops", np.full(len(six), np.nan))
    gaps = np.isnan(flops) & np.isfinite(six) & (six > 0)
    if not gaps.any():
        return []
    columns["flops"] = np.where(gaps, six, flops)
    return [f"flops was missing in {_of(gaps)} rows and filled in as 6 * params * tokens."]


def _usable(columns: Mapping[str, Column], rows: NDArray[np.intp], source: str) -> tuple[NDArray[np.bool_], list[str]]:
    """Which rows a law can use, and the note that says how many it can't, why, and which come first."""
    usable = np.ones(len(rows), dtype=bool)
    reasons: list[str] = []
    for name in (name for name in LARGEST if name in columns):
        for why, bad in _faults(columns[name], LARGEST[name]):
            if bad.any():
                first = ", ".join(str(row + 1) for row in rows[bad][:3]) + (", …" if bad.sum() > 3 else "")
                reasons.append(f"{name} {why} in {int(bad.sum())} (data row{'s' if bad.sum() > 1 else ''} {first})")
                usable &= ~bad
    if not reasons:
        return usable, []
    if not usable.any():
        raise UserError(f"None of the {len(rows)} rows of {source} can be used: {'; '.join(reasons)}.")
    return usable, [f"Dropped {_of(~usable)} rows: {'; '.join(reasons)}."]


def _faults(column: Column, largest: float) -> list[tuple[str, NDArray[np.bool_]]]:
    with np.errstate(invalid="ignore"):
        return [
            ("missing or NaN", np.isnan(column)),
            ("infinite", np.isinf(column)),
            ("negative", np.isfinite(column) & (column < 0)),
            ("zero", (column >= 0) & (column < SMALLEST)),
            (f"above {largest:g}", np.isfinite(column) & (column > largest)),
        ]


def _poor(runs: Runs) -> list[str]:
    """What a table lacks for any law, said when it is read and not when a fit fails."""
    if len(runs) == 1:
        return ["There is only one run: no law can be fitted to it."]
    if not any(name in runs for name in ("params", "tokens", "flops")):
        return [f"None of params, tokens and flops is there (but {list_some(list(runs))}): name them, as N=COLUMN."]
    return [
        f"{name} is the same in all {len(runs)} runs ({runs[name][0]:.6g}): no law can tell how loss depends on it."
        for name in ("params", "tokens")
        if name in runs and np.ptp(runs[name]) == 0
    ] + (["The loss is the same in all runs: there is nothing to fit."] if np.ptp(runs["loss"]) == 0 else [])


def _of(mask: NDArray[np.bool_]) -> str:
    return f"{int(mask.sum())} of {len(mask)}"
