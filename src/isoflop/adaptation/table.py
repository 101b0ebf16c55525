"""A user's own table of texts and labels, read so that no row is lost in silence."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoflop.errors import UserError

TEXT_NAMES = ("text", "sentence", "review", "content", "utterance", "comment", "tweet", "document", "question", "title")
LABEL_NAMES = ("label", "labels", "sentiment", "category", "class", "intent", "topic", "target", "stars", "y")
CSV_DELIMITERS = ",;|\t"

Record = Mapping[str, Any]
Places = Iterator[tuple[str, Record]]
"""Where a row stands ("line 4"), and its values by column."""


@dataclass(frozen=True)
class Columns:
    """Which column holds the text and which the label."""

    text: str
    label: str


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with their labels, in the file's order, and where each stands in it.

    A text is a string, or a tuple of strings where a task reads several; a label likewise, as the task has it.
    """

    source: str
    columns: Columns
    texts: tuple[Any, ...]
    labels: tuple[Any, ...]
    places: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, chosen: Sequence[int]) -> LabelledTexts:
        """The examples with these numbers, counted from 0, in this order."""
        texts, labels, places = (tuple(one[at] for at in chosen) for one in (self.texts, self.labels, self.places))
        return LabelledTexts(self.source, self.columns, texts, labels, places)


def read_labelled(path: Path, *, text: str | None = None, label: str | None = None) -> LabelledTexts:
    """Read a CSV, TSV, JSONL or Parquet file (the first three also gzipped); columns that are not named are guessed.

    Raises `UserError`, with the line, for a missing column, an empty text or label, a row with too many or too few
    fields and text that is not UTF-8.
    """
    rows = read_rows(path)
    first = next(rows, None)
    if first is None:
        raise UserError(f"{path} has no rows: a table needs a header and a line for each text.")
    columns = _columns(path, list(first[1]), text, label)
    places, texts, labels = [], [], []
    for place, record in _and_then(first, rows):
        words, answer = _cell(record.get(columns.text)), _cell(record.get(columns.label))
        if not words.strip():
            raise UserError(f"{path}, {place}: the text (column {columns.text}) is empty: fill it, or delete the row.")
        if not answer.strip():
            raise UserError(f"{path}, {place}: the label (column {columns.label}) is empty: fill it or delete the row.")
        places.append(place)
        texts.append(words)
        labels.append(answer.strip())
    return LabelledTexts(str(path), columns, tuple(texts), tuple(labels), tuple(places))


def _and_then(first: tuple[str, Record], rest: Places) -> Places:
    yield first
    yield from rest


def read_rows(path: Path) -> Places:
    """The rows of a table of any form, each with its place. Raises `UserError` as `read_labelled` does."""
    readers: Mapping[str, Callable[[Path], Places]] = {
        ".csv": _csv_rows,
        ".tsv": _tsv_rows,
        ".jsonl": _json_rows,
        ".ndjson": _json_rows,
        ".parquet": _parquet_rows,
    }
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    reader = readers.get(suffixes[-1] if suffixes else "")
    if not path.is_file():
        raise UserError(f"There is no file {path}: check the path.")
    if reader is None:
        raise UserError(f"{path} has an ending that says no form known here: name it {', '.join(readers)}.")
    return reader(path)


def _lines(path: Path) -> str:
    """The whole text of a file."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise UserError(f"{path} can't be read ({error}).") from error
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: the text is not UTF-8: save the file as UTF-8.") from error


def _csv_rows(path: Path) -> Places:
    text = _lines(path)
    head = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(CSV_DELIMITERS, key=head.count), strict=True)
    header: list[str] = []
    line = 1
    try:
        for row in reader:
            place, line = f"line {line}", reader.line_num + 1
            if not row:  # a blank line
                continue
            if not header:
                header = _header(path, row)
                continue
            _check_width(path, place, row, header)
            yield place, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}, line {line}: not a CSV row ({error}): a quote inside quotes is doubled.") from error


def _tsv_rows(path: Path) -> Places:
    """A quote is only that where it opens and closes a whole field: reviews are full of single ones."""
    header: list[str] = []
    for number, line in enumerate(_lines(path).split("\n"), start=1):
        row = [_unquoted(cell) for cell in line.rstrip("\r").split("\t")]
        if row == [""]:  # a blank line
            continue
        if not header:
            header = _header(path, row)
            continue
        _check_width(path, f"line {number}", row, header)
        yield f"line {number}", dict(zip(header, row, strict=True))


def _unquoted(cell: str) -> str:
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if quoted else cell


def _header(path: Path, row: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in row]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path} has two columns called {twice!r}: rename one.")
    return names


def _check_width(path: Path, place: str, row: Sequence[str], header: Sequence[str]) -> None:
    if len(row) != len(header):
        raise UserError(
            f"{path}, {place}: {len(row)} fields where the header has {len(header)}: "
            "put a text that holds the separator in double quotes."
        )


def _json_rows(path: Path) -> Places:
    for number, line in enumerate(_lines(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number}: no JSON ({error}); one object a line is expected.") from error
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {number}: no JSON object; one object a line is expected.")
        yield f"line {number}", record


def _parquet_rows(path: Path) -> Places:
    import pyarrow as pa
    from pyarrow import parquet

    number = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            for record in batch.to_pylist():
                number += 1
                yield f"row {number}", record
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} can't be read as Parquet ({str(error).partition(chr(10))[0]}).") from error


def _columns(path: Path, names: list[str], text: str | None, label: str | None) -> Columns:
    asked = (("text", text, "--text", TEXT_NAMES), ("label", label, "--label", LABEL_NAMES))
    found: dict[str, str | None] = {}
    for what, wanted, flag, usual in asked:
        if wanted is not None and wanted not in names:
            raise UserError(f"{path} has no column {wanted!r}: choose {flag} from {', '.join(map(repr, names))}.")
        lower = {name.lower(): name for name in names}
        found[what] = wanted or next((lower[name] for name in usual if name in lower), None)
    if len(names) == 2:  # the other one is the other one
        for one, other in (("text", "label"), ("label", "text")):
            if found[one] is None and found[other] is not None:
                found[one] = next(name for name in names if name != found[other])
    for what, _, flag, usual in asked:
        if found[what] is None:
            raise UserError(
                f"{path} has no column for the {what} ({', '.join(usual[:3])}, …): "
                f"choose one with {flag} from {', '.join(map(repr, names))}."
            )
    if found["text"] == found["label"]:
        raise UserError(f"{path}: column {found['text']!r} can't be both text and label: use --text and --label.")
    return Columns(str(found["text"]), str(found["label"]))


def _cell(value: Any) -> str:
    """A value as text: 1.0 is the label 1, as a spreadsheet means it."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
