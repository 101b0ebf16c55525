"""Numbers as people write them in tables (`7B`, `1,400,000`, `2,31`, `n/a`): a repair is named, the rest refused."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import UserError

MISSING = ("", "-", "–", "na", "n/a", "#n/a", "nan", "null", "none", "missing")
"""What stands for no value, in lower case."""
_MISSING = f"^({'|'.join(re.escape(one) for one in MISSING)})$"

SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
SPACES = "\u00a0\u2009\u202f "

_GROUPED = re.compile(r"[+-]?\d{1,3}([,'_\u2019\u00a0\u2009\u202f ]\d{3})+(\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_SUFFIXED = re.compile(rf"(?P<number>.*[\d.])[{SPACES}]?(?P<suffix>[kmbgt])", re.IGNORECASE)


def read_number(text: str, *, count: bool = False, decimal_comma: bool = False) -> float | None:
    """The number that `text` stands for, or None where it stands for none.

    `count` admits the suffixes K, M, B (or G) and T for thousands to trillions; `decimal_comma` reads `2,31` as 2.31
    (tables with semicolons between columns), and a count like `1,400` as 1400 all the same.
    """
    text = text.strip()
    if _is_plain(text):
        return float(text)
    suffixed = _SUFFIXED.fullmatch(text) if count else None
    factor = SUFFIXES[suffixed["suffix"].lower()] if suffixed else 1.0
    digits = suffixed["number"] if suffixed else text
    if (
        _DECIMAL_COMMA.fullmatch(digits)
        and decimal_comma
        and (factor > 1 or not (count and _GROUPED.fullmatch(digits)))
    ):
        digits = digits.replace(",", ".")
    elif _GROUPED.fullmatch(digits):
        digits = re.sub(rf"[,'_\u2019{SPACES}]", "", digits)
    if "_" in digits:
        return None
    try:
        value = float(digits) * factor
    except ValueError:
        return None
    # 0.3 * 1e9 is 300000000.0 but 1.1 * 1e9 is 1100000000.0000001: a count written with a suffix is a whole number.
    return float(round(value)) if factor > 1 and math.isfinite(value) else value


def read_numbers(column: Any, name: str, *, count: bool, decimal_comma: bool, source: str) -> tuple[NDArray[Any], str]:
    """A column of texts (an Arrow array) as float64, NaN where it says nothing, and the note on what was repaired.

    Raises `UserError` naming row and column where a text is no number.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(column)
    present = without(trimmed, pc.match_substring_regex(trimmed, pattern=_MISSING, ignore_case=True))
    try:
        return to_float64(pc.cast(present, pa.float64())), ""
    except pa.ArrowInvalid:
        pass
    encoded = present.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    values = np.empty(len(texts) + 1)
    values[-1] = np.nan
    codes = codes_of(encoded)
    repaired = []
    for position, text in enumerate(texts):
        value = read_number(text, count=count, decimal_comma=decimal_comma)
        if value is None:
            row = int(np.argmax(codes == position)) + 1
            raise UserError(
                f"{source}, data row {row}, column {name!r}: {text[:40]!r} is no number; mend it or empty it."
            )
        values[position] = value
        if not _is_plain(text):
            repaired.append(position)
    if not repaired:
        return values[codes], ""
    first = repaired[0]
    note = (
        f"Column {name!r}: {int(np.isin(codes, repaired).sum())} of {len(codes)} values were in a form of their own "
        f"and read as numbers ({texts[first]!r} as {values[first]:.15g})."
    )
    return values[codes], note


def to_float64(column: Any) -> NDArray[np.float64]:
    """An Arrow array of numbers as float64 with NaN for nulls."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values, there = _values(pc.cast(column, pa.float64(), safe=False), np.float64)
    return np.where(there, values, np.nan)


def codes_of(encoded: Any) -> NDArray[np.int64]:
    """The positions of a dictionary-encoded Arrow array in its dictionary; nulls come after its last."""
    import pyarrow as pa

    values, there = _values(encoded.indices.cast(pa.int64()), np.int64)
    return np.where(there, values, len(encoded.dictionary))


def without(column: Any, those: Any) -> Any:
    """An Arrow array with nulls where the flags `those` (another one) are set."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(those, pa.nulls(1, column.type)[0], column)


def _values(column: Any, kind: type[np.generic]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """(the values of an Arrow array of numbers, which of them are no nulls), read from its buffers.

    Arrow's own way to numpy, like any Python value handed to Arrow, loads pandas, which takes a third of a second.
    """
    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    rows = slice(column.offset, column.offset + len(column))
    validity, data = column.buffers()
    values = np.frombuffer(data, kind)[rows] if len(column) else np.empty(0, kind)
    if validity is None or not len(column):
        return values, np.ones(len(column), dtype=bool)
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
    return values, bits[rows].astype(bool)


def _is_plain(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
