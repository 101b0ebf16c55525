"""Tables as files hold them (CSV, TSV, Parquet, JSON lines), read by Arrow into named columns without meaning."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

from isoflop.errors import UserError

SAMPLE_BYTES = 1 << 20
"""How much of a file is looked at to tell its form, encoding, delimiter and header."""

DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class RawTable:
    """Columns as they were written: Arrow arrays of text, numbers or flags, by name, and what reading had to mend."""

    columns: Mapping[str, Any]
    source: str
    notes: tuple[str, ...] = field(default=())
    doubts: tuple[str, ...] = field(default=())
    """Notes on rows that could not be read at all, and how many those were."""
    dropped: int = 0
    decimal_comma: bool = False
    """Whether a lone comma in a number is a decimal one (tables with semicolons between the columns)."""
    typed: bool = True
    """Whether text is meant as text (JSON, Parquet) or is how everything is written (CSV)."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0


def read_table(path: Path) -> RawTable:
    """Read one file, whose form is told from its first bytes, not its name. Raises `UserError` where it is no table."""
    import pyarrow as pa

    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            sample = stream.read(SAMPLE_BYTES)
        if sample.startswith(b"PAR1"):
            return _read_parquet(path)
        if sample.startswith(b"PK\x03\x04"):
            raise UserError(f"{path} is a spreadsheet or a zip archive: save the sheet as CSV.")
        if sample.lstrip()[:1] in (b"{", b"["):
            return _read_json(path)
        return _read_csv(path, sample)
    except (OSError, pa.ArrowException, UnicodeError, csv.Error) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise UserError(f"{path} can't be read as a table ({first_line}).") from error


def table_in_memory(source: Any) -> RawTable:
    """A mapping of columns, a pandas data frame or an Arrow table as a `RawTable`."""
    import pyarrow as pa

    try:
        if isinstance(source, Mapping):
            return _from_columns({str(name): list(column) for name, column in source.items()}, "the table", ())
        table = source if isinstance(source, pa.Table) else pa.Table.from_pandas(source, preserve_index=False)
        return _from_arrow(table, "the table", ())
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"The runs given are no table ({error}): give a path, columns by name, or a data frame."
        ) from error


def _read_csv(path: Path, sample: bytes) -> RawTable:
    import pyarrow as pa

    encoding = "utf-16" if sample[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return _read_csv_as(path, sample, encoding)
    except (pa.ArrowInvalid, UnicodeError) as error:
        if encoding == "utf-16" or not ("UTF8" in str(error) or isinstance(error, UnicodeError)):
            raise
    raw = _read_csv_as(path, sample, "cp1252")
    return replace(raw, notes=(f"{path} is no UTF-8: read as Windows-1252.", *raw.notes))


def _read_csv_as(path: Path, sample: bytes, encoding: str) -> RawTable:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    # A sample may end in the middle of a character; only its first lines matter here.
    text = sample.decode(encoding, errors="strict" if len(sample) < SAMPLE_BYTES else "ignore")
    if "\x00" in text:
        raise UserError(f"{path} holds bytes that are no text: give CSV, TSV, Parquet, JSON lines or a folder of runs.")
    delimiter, header, header_lines = _read_header(text, path)
    names, notes = _distinct(header)
    bad_rows: list[str] = []

    def leave_out(row: Any) -> str:
        bad_rows.append(str(row.text)[:60] if len(bad_rows) < 3 else "")
        return "skip"

    keys = [str(position) for position in range(len(names))]
    with pa.input_stream(str(path), compression="detect") as stream:
        table = arrow_csv.read_csv(
            stream,
            read_options=arrow_csv.ReadOptions(
                column_names=keys, skip_rows=header_lines, encoding="utf8" if encoding == "utf-8-sig" else encoding
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values='"' in text, invalid_row_handler=leave_out
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(keys, pa.large_string()), strings_can_be_null=False
            ),
        )
    doubts = []
    if bad_rows:
        rows = "1 row that doesn't" if len(bad_rows) == 1 else f"{len(bad_rows)} rows that don't"
        doubts.append(f"Left out {rows} have the header's {len(names)} fields (first: {bad_rows[0]!r}).")
    columns = {name: table.column(key).combine_chunks() for name, key in zip(names, keys, strict=True)}
    return RawTable(
        columns, str(path), tuple(notes), tuple(doubts), len(bad_rows), decimal_comma=delimiter == ";", typed=False
    )


def _read_header(text: str, path: Path) -> tuple[str, list[str], int]:
    """The delimiter, the names in the first line that isn't blank, and the number of lines up to and with it."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    for row in reader:
        if any(cell.strip() for cell in row):
            break
    else:
        raise UserError(f"{path} is empty: a table needs a header line and a line for each run.")
    if all(_looks_like_number(cell) for cell in row):
        raise UserError(f"{path} has no header: its first line is all numbers; put the columns' names above it.")
    return _delimiter(text), row, reader.line_num


def _delimiter(text: str) -> str:
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    outside_quotes = "".join(first_line.split('"')[::2])
    return max(DELIMITERS, key=outside_quotes.count)


def _distinct(header: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names for columns, each used once; what had to be renamed is noted."""
    names: list[str] = []
    notes: list[str] = []
    for position, cell in enumerate(header, start=1):
        name = cell.strip().lstrip("\ufeff") or f"column {position}"
        if name in names:
            notes.append(
                f"Two columns are called {name!r}: the first is used, the other is called '{name} ({position})'."
            )
            name = f"{name} ({position})"
        names.append(name)
    return names, notes


def _read_parquet(path: Path) -> RawTable:
    from pyarrow import parquet

    return _from_arrow(parquet.read_table(str(path), memory_map=True), str(path), ())


def _read_json(path: Path) -> RawTable:
    """One JSON object a line, or an array of objects: by Arrow, or by Python's parser where rows disagree on a type."""
    import pyarrow as pa
    from pyarrow import json as arrow_json

    try:
        return _from_arrow(arrow_json.read_json(str(path)), str(path), ())
    except pa.ArrowInvalid:
        return table_of_records(_json_records(path), str(path))


def _json_records(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8-sig")
    try:
        whole = json.loads(text)
        records = whole if isinstance(whole, list) else [whole]
    except ValueError:
        records = []
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise UserError(f"{path}, line {number}: no JSON ({error}); one object a line is expected.") from error
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise UserError(f"{path}, record {number} is no JSON object: each run is one object of names and values.")
    return records


def table_of_records(records: Sequence[Mapping[str, Any]], source: str, notes: Sequence[str] = ()) -> RawTable:
    """Records with values of any type as columns: numbers where all are numbers, text otherwise, null where absent."""
    names = dict.fromkeys(name for record in records for name in record)
    return _from_columns({name: [record.get(name) for record in records] for name in names}, source, notes)


def _from_columns(lists: Mapping[str, list[Any]], source: str, notes: Sequence[str]) -> RawTable:
    import pyarrow as pa

    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"The columns of {source} differ in length: {lengths}.")
    nested = [name for name, values in lists.items() if any(isinstance(one, (dict, list)) for one in values)]
    columns: dict[str, Any] = {}
    for name, values in lists.items():
        if name in nested:
            continue
        if all(one is None or (isinstance(one, Real) and not isinstance(one, bool)) for one in values):
            columns[name] = pa.array([None if one is None else _as_float(one) for one in values], pa.float64())
        else:
            columns[name] = pa.array([None if one is None else str(one) for one in values], pa.large_string())
    return RawTable(columns, source, (*notes, *_nested_note(nested)))


def _from_arrow(table: Any, source: str, notes: tuple[str, ...]) -> RawTable:
    import pyarrow as pa

    names, renamed = _distinct(table.column_names)
    nested = [name for name, kind in zip(names, table.schema.types, strict=True) if pa.types.is_nested(kind)]
    columns = {name: _tidy(table.column(position)) for position, name in enumerate(names) if name not in nested}
    return RawTable(columns, source, (*notes, *renamed, *_nested_note(nested)))


def _tidy(column: Any) -> Any:
    """An Arrow column as one array of float64 or of text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        column = pc.cast(column, pa.float64(), safe=False)
    elif pa.types.is_dictionary(kind):
        return _tidy(pc.cast(column, kind.value_type))
    else:
        column = pc.cast(column, pa.large_string())
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _nested_note(names: Sequence[str]) -> tuple[str, ...]:
    return (f"Left out what is no single value: {', '.join(names)}.",) if names else ()


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number beyond 1e308
        return float("inf") if value > 0 else float("-inf")


def _looks_like_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
