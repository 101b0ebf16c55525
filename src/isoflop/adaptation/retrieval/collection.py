"""Documents, queries and relevance judgements as they stand in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoflop.adaptation.rows import read_rows
from isoflop.errors import UserError

ID_NAMES = ("id", "_id", "docid", "doc_id", "qid", "query_id")
TEXT_NAMES = ("text", "contents", "content", "document", "passage", "query", "question")
TREC, BEIR = 4, 3
"""Fields of a line of judgements: query, an unused one, document, grade; or query, document, grade."""


@dataclass(frozen=True)
class Texts:
    """Texts by number, each with its own id; some may be empty."""

    source: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def numbers(self) -> dict[str, int]:
        """Number of each id."""
        return {name: number for number, name in enumerate(self.ids)}

    @property
    def empty(self) -> list[int]:
        """Numbers of the texts without a word."""
        return [number for number, text in enumerate(self.texts) if not text.strip()]


def read_documents(path: Path) -> Texts:
    """Read documents or queries: a table (CSV, TSV, JSONL, Parquet; also gzipped) with columns for id and text.

    A column `title` is put before the text unless that begins with it. Without a column for the id, rows are numbered
    from 1. Raises `UserError` for a missing column and for an id that comes twice.
    """
    ids, texts, seen = [], [], dict[str, str]()
    for number, (place, row) in enumerate(read_rows(path), start=1):
        name = _cell(row, ID_NAMES)
        name = str(number) if name is None else name
        if name in seen:
            raise UserError(f"{path}, {place}: the id {name!r} is that of {seen[name]} too: give each text its own.")
        seen[name] = place
        ids.append(name)
        texts.append(_text(path, place, row))
    if not ids:
        raise UserError(f"{path} has no rows: a text a row is needed.")
    return Texts(str(path), tuple(ids), tuple(texts))


def read_queries(path: Path) -> Texts:
    """Read queries as `read_documents` does. Raises `UserError` for one that is empty."""
    queries = read_documents(path)
    if queries.empty:
        raise UserError(f"{path}: the query {queries.ids[queries.empty[0]]!r} is empty: fill it, or delete the row.")
    return queries


def read_grades(path: Path, queries: Texts, documents: Texts) -> list[dict[int, float]]:
    """Relevance judgements by the query's number: grades by the document's number.

    A line is `query 0 document grade` (TREC) or `query document grade` (BEIR, with a header), divided by white space.
    Raises `UserError`, with the line, for a form or a grade that can't be read, an id that is not in the other files (a
    judged document that is missing would change the figures), and a pair that is judged twice.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}: check the path.")
    query_number, document_number = queries.numbers, documents.numbers
    grades: list[dict[int, float]] = [{} for _ in queries.ids]
    for line, fields in _judgements(path):
        query, document, grade = fields[0], fields[-2], _grade(path, line, fields[-1])
        if query not in query_number:
            raise UserError(f"{path}, line {line}: the query {query!r} is not in {queries.source}.")
        if document not in document_number:
            raise UserError(f"{path}, line {line}: the document {document!r} is not in {documents.source}.")
        own, number = grades[query_number[query]], document_number[document]
        if number in own:
            raise UserError(f"{path}, line {line}: document {document!r} is judged twice for query {query!r}.")
        own[number] = grade
    return grades


def _judgements(path: Path) -> list[tuple[int, list[str]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read as UTF-8 text ({error}).") from error
    found = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    wrong = next((number for number, fields in found if len(fields) not in (TREC, BEIR)), None)
    if wrong is not None:
        raise UserError(f"{path}, line {wrong}: query, 0, document and grade are expected, or query, document, grade.")
    has_header = bool(found) and len(found[0][1]) == BEIR and not _is_number(found[0][1][-1])
    return found[1:] if has_header else found


def _grade(path: Path, line: int, field: str) -> float:
    if not _is_number(field):
        raise UserError(f"{path}, line {line}: the grade {field!r} is not a number.")
    return float(field)


def _is_number(field: str) -> bool:
    try:
        return abs(float(field)) < float("inf")
    except ValueError:
        return False


def _text(path: Path, place: str, row: Mapping[str, Any]) -> str:
    text = _cell(row, TEXT_NAMES)
    if text is None:
        raise UserError(f"{path}, {place}: there is no column for the text: call it {', '.join(TEXT_NAMES[:3])}.")
    title = _cell(row, ("title",)) or ""
    return text if text.startswith(title) else f"{title} {text}"


def _cell(row: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The first of these columns that there is, as text."""
    name = next((name for name in names if name in row), None)
    if name is None:
        return None
    return "" if row[name] is None else str(row[name])
