"""Where documents come from: files, folders and patterns, rows of tables, the standard library. Read in a stream."""

from __future__ import annotations

import codecs
import glob
import gzip
import json
import sysconfig
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from isoflop.data.spool import READ_BYTES, Part
from isoflop.errors import UserError

STDLIB = "stdlib"
"""The default corpus: the Python standard library's own source, which is wherever isoflop is."""

TEXT_SUFFIXES = (".txt", ".md", ".rst", ".py", ".tex", ".html", ".csv", ".tsv", ".json", ".gz")
PARQUET_ROWS = 256
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_REPLACEMENT_BYTES = REPLACEMENT.encode()

Incoming = tuple[str, Iterable[Part]]
"""A document's name and its text, which must be taken before the next document."""


def documents_of(paths: Iterable[str], column: str) -> Iterator[Incoming]:
    """The documents of `paths` (files, folders, globs, or `stdlib`), in an order that is always the same.

    Raises `UserError` where a path matches nothing, or a file can't be read or lacks `column`.
    """
    for entry in paths:
        if entry == STDLIB:
            yield from _from_stdlib()
        else:
            for path, name in _expand(entry):
                yield from _from_file(path, name, column)


def _from_stdlib() -> Iterator[Incoming]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not {"site-packages", "dist-packages", "__pycache__"} & set(path.parts):
            yield f"{STDLIB}/{name}", _text_of(path)


def _expand(entry: str) -> Iterator[tuple[Path, str]]:
    root = Path(entry).expanduser()
    if root.is_dir():
        files = [path for path in sorted(root.rglob("*")) if path.is_file() and _is_readable(path)]
    elif root.is_file():
        root, files = root.parent, [root]
    else:
        files = [Path(match) for match in sorted(glob.glob(str(root), recursive=True)) if Path(match).is_file()]
        root = Path(".")
    if not files:
        raise UserError(f"corpus.paths: {entry!r} is no file, folder or pattern that matches a text file.")
    for path in files:
        yield path, path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _is_readable(path: Path) -> bool:
    return path.suffix in (*TEXT_SUFFIXES, ".jsonl", ".parquet") and not path.name.startswith(".")


def _from_file(path: Path, name: str, column: str) -> Iterator[Incoming]:
    if path.suffix == ".parquet":
        yield from _from_parquet(path, name, column)
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        yield from _from_jsonl(path, name, column)
    else:
        yield name, _text_of(path)


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _text_of(path: Path) -> Iterator[Part]:
    """The file's text. A mark at its beginning goes, unless the file is damaged."""
    try:
        with _opened(path) as file:
            marked = file.read(3) == codecs.BOM_UTF8
        if marked:
            with _opened(path) as file:
                marked = not any(replaced for _, replaced in decoded(_blocks(file)))
        with _opened(path) as file:
            file.read(3 if marked else 0)
            yield from decoded(_blocks(file))
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"corpus.paths: {path} can't be read ({error}).") from error


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(READ_BYTES):
        yield block


def decoded(blocks: Iterable[bytes]) -> Iterator[Part]:
    """Decode UTF-8 that comes in blocks; bytes that are not are replaced by U+FFFD and counted."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    waiting = b""
    for block in blocks:
        text = decoder.decode(block)
        # What the decoder has used up so far: the text of its bytes is out, and so are the marks that stood there.
        data, waiting = waiting + block, decoder.getstate()[0]
        yield text, _repairs(text, data[: len(data) - len(waiting)])
    rest = decoder.decode(b"", final=True)
    if rest:
        yield rest, _repairs(rest, waiting)


def _repairs(text: str, data: bytes) -> int:
    """Marks of replacement that did not stand in `data` before."""
    return text.count(REPLACEMENT) - data.count(_REPLACEMENT_BYTES)


def _from_jsonl(path: Path, name: str, column: str) -> Iterator[Incoming]:
    number = 0
    try:
        with _opened(path) as file:
            for block in file:
                for line in block.splitlines():
                    number += 1
                    if line.strip():
                        yield f"{name}:{number}", [_cell(line, column, path, number)]
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"corpus.paths: {path} can't be read ({error}).") from error


def _cell(line: bytes, column: str, path: Path, number: int) -> Part:
    parts = list(decoded([line]))
    row = "".join(text for text, _ in parts).removeprefix(BYTE_ORDER_MARK)
    try:
        return str(json.loads(row)[column]), sum(replaced for _, replaced in parts)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}, line {number}: no text column {column!r} there: set corpus.column.") from error


def _from_parquet(path: Path, name: str, column: str) -> Iterator[Incoming]:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        table = parquet.ParquetFile(path, buffer_size=READ_BYTES)
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"corpus.paths: {path} can't be read as Parquet ({error}).") from error
    if column not in table.schema_arrow.names:
        have = ", ".join(table.schema_arrow.names)
        raise UserError(f"{path} has no column {column!r} (it has {have}): set corpus.column.")
    number = 0
    for batch in table.iter_batches(batch_size=PARQUET_ROWS, columns=[column]):
        for value in batch.column(0).to_pylist():
            number += 1
            yield f"{name}:{number}", [(str(value or ""), 0)]
