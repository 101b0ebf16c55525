"""Rows of a user's own file, one at a time, each with where it stands: CSV, TSV, JSON, Parquet, CoNLL, a data set.

Nothing here holds more than a row (a batch of them in Parquet; the whole file in JSON that is not one object a line).
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from isoflop.adaptation.dataset import dataset_rows, is_dataset
from isoflop.errors import UserError

CSV_DELIMITERS = ",;|\t"
LONGEST_LINE = 1 << 28
"""Bytes of one line. A longer one is no row of a table, and would be read whole before anything could be said of it."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")

Record = Mapping[str, Any]
Places = Iterator[tuple[str, Record]]
"""Where a row stands ("line 4"), and its values by column."""


def read_rows(path: Path, *, has_header: bool = True) -> Places:
    """The rows of a file (CSV, TSV, JSONL and CoNLL also gzipped), or of `datasets:NAME`; without a header columns are
    called 1, 2, 3. Raises `UserError`, with the line, for what the form does not allow."""
    if is_dataset(path):
        return dataset_rows(path)
    readers = _readers(has_header)
    reader = readers.get(_ending(path))
    if not path.is_file():
        raise UserError(f"There is no file {path}: check the path.")
    if reader is None:
        raise UserError(f"{path} has an ending that says no form known here: name it {', '.join(readers)}.")
    return reader(path)


def has_known_form(path: Path) -> bool:
    """Whether `read_rows` knows the form that a file's name says."""
    return is_dataset(path) or _ending(path) in _readers(True)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, gzipped or not, without their ends. Raises `UserError`, with the line, for no text."""
    return [line.rstrip("\r\n") for line in _lines(path)]


def _readers(has_header: bool) -> Mapping[str, Callable[[Path], Places]]:
    return {
        ".csv": lambda path: _csv_rows(path, has_header),
        ".tsv": lambda path: _tsv_rows(path, has_header),
        ".jsonl": _json_rows,
        ".ndjson": _json_rows,
        ".json": _whole_json_rows,
        ".parquet": _parquet_rows,
        ".conll": _conll_rows,
        ".bio": _conll_rows,
    }


def _ending(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return suffixes[-1] if suffixes else ""


def _lines(path: Path) -> Iterator[str]:
    """The lines with their ends, decoded one by one, so that a line in another encoding is named."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
            start: bytes = file.read(3)
            file.seek(0)
            if start[:2] in UTF_16:
                yield from _utf_16_lines(path, file)
                return
            while raw := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    raise UserError(f"{path}, line {number} is over {LONGEST_LINE >> 20} MiB long: it is no table.")
                yield _decoded(path, number, raw)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} can't be read ({error}).") from error


def _decoded(path: Path, number: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        at = error.start + 1 + (3 if number == 1 and raw[:3] == b"\xef\xbb\xbf" else 0)
        raise UserError(
            f"{path}, line {number}: the text is not UTF-8 (byte {at} of the line is 0x{raw[at - 1]:02X}): "
            "save the whole file as UTF-8."
        ) from error


def _utf_16_lines(path: Path, file: Any) -> Iterator[str]:
    number = 0
    try:
        with io.TextIOWrapper(file, encoding="utf-16", newline="") as text:
            for line in text:
                number += 1
                yield line
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, near line {number + 1}: the text is not UTF-16: save the file as UTF-8.") from error


def _csv_rows(path: Path, has_header: bool) -> Places:
    csv.field_size_limit(LONGEST_LINE)
    lines = _lines(path)
    head = next(lines, "")
    delimiter = max(CSV_DELIMITERS, key=head.count)
    reader = csv.reader(itertools.chain([head], lines), delimiter=delimiter, strict=True)
    header: list[str] = []
    line = 1
    try:
        for row in reader:
            place, line = f"line {line}", reader.line_num + 1
            if not row:  # a blank line
                continue
            if not header:
                header = _header(path, row, has_header)
                if has_header:
                    continue
            yield place, _record(path, place, row, header)
    except csv.Error as error:
        raise UserError(f"{path}, line {line}: not a CSV row ({error}): a quote inside quotes is doubled.") from error


def _tsv_rows(path: Path, has_header: bool) -> Places:
    """A quote is only that where it opens and closes a whole field: reviews are full of single ones."""
    header: list[str] = []
    for number, line in enumerate(_lines(path), start=1):
        row = [_unquoted(cell) for cell in line.rstrip("\r\n").split("\t")]
        if row == [""]:  # a blank line
            continue
        if not header:
            header = _header(path, row, has_header)
            if has_header:
                continue
        yield f"line {number}", _record(path, f"line {number}", row, header)


def _unquoted(cell: str) -> str:
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if quoted else cell


def _header(path: Path, row: Sequence[str], has_header: bool) -> list[str]:
    if not has_header:
        return [str(number) for number in range(1, len(row) + 1)]
    names = [cell.strip() for cell in row]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path} has two columns called {twice!r}: rename one.")
    return names


def _record(path: Path, place: str, row: Sequence[str], header: Sequence[str]) -> Record:
    if len(row) != len(header):
        raise UserError(
            f"{path}, {place}: {len(row)} fields where the header has {len(header)}: "
            "put a text that holds the separator in double quotes."
        )
    return dict(zip(header, row, strict=True))


def _json_rows(path: Path) -> Places:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number}: no JSON ({error}); one object a line is expected.") from error
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {number}: no JSON object; one object a line is expected.")
        yield f"line {number}", record


def _whole_json_rows(path: Path) -> Places:
    """A list of objects, or the published form of SQuAD: data, paragraphs with their contexts, questions."""
    try:
        found = json.loads("".join(_lines(path)))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}): one object a line is a file that ends in .jsonl.") from error
    try:
        rows = list(_squad_rows(found)) if isinstance(found, dict) else list(found)
    except (TypeError, KeyError, AttributeError):
        raise UserError(f"{path} is neither a list of objects nor of SQuAD's form (data, paragraphs, qas).") from None
    for number, record in enumerate(rows, start=1):
        if not isinstance(record, dict):
            raise UserError(f"{path}, entry {number}: no JSON object; a list of them is expected.")
        yield f"entry {number}", record


def _squad_rows(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for article in found["data"]:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                yield {**asked, "title": article.get("title"), "context": paragraph["context"]}


def _parquet_rows(path: Path) -> Places:
    import pyarrow as pa
    from pyarrow import parquet

    number = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=1024):
            for record in batch.to_pylist():
                number += 1
                yield f"row {number}", record
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} can't be read as Parquet ({str(error).partition(chr(10))[0]}).") from error


def _conll_rows(path: Path) -> Places:
    """A word and its tag on each line (first and last of its fields), a blank line behind each sentence."""
    tokens: list[str] = []
    tags: list[str] = []
    begun = 1
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split()
        if (not fields or fields[0] == "-DOCSTART-") and tokens:
            yield f"line {begun}", {"tokens": tokens, "tags": tags}
            tokens, tags = [], []
        if not fields or fields[0] == "-DOCSTART-":
            continue
        if len(fields) < 2:
            raise UserError(f"{path}, line {number}: {fields[0]!r} has no tag: write word and tag on each line.")
        begun = begun if tokens else number
        tokens.append(fields[0])
        tags.append(fields[-1])
    if tokens:
        yield f"line {begun}", {"tokens": tokens, "tags": tags}
