"""Pairs of texts, from two columns of a table or from two files side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from isoflop.adaptation.rows import has_known_form, read_lines, read_rows
from isoflop.adaptation.table import Columns, LabelledTexts
from isoflop.errors import UserError

SOURCES = ("source", "src", "input", "document", "article", "text", "question", "prompt")
TARGETS = ("target", "tgt", "output", "translation", "summary", "tldr", "headline", "title", "answer", "response")

Target = str | tuple[str, ...]


def references(target: Target) -> tuple[str, ...]:
    """The texts any of which would be right."""
    return (target,) if isinstance(target, str) else target


def read_pairs(path: Path, *, source: str | None = None, target: str | None = None) -> LabelledTexts:
    """Sources as texts and targets as labels, in the file's order; a target that is a list is a tuple of texts, each of
    which would be right.

    Of a table (CSV, TSV, JSONL, Parquet) `source` and `target` name columns, else they are guessed. Another file holds
    one source a line, and its targets are in the file of the same name but for the ending, which `target` gives:
    `train.en` with `de` goes with `train.de`, `train.en.gz` with `train.de.gz`. Raises `UserError`, with the line, for
    a side that is empty and for files of different length.
    """
    if has_known_form(path):
        return _from_table(path, source, target)
    if target is None:
        raise UserError(
            f"{path} is no table (its ending says none): for two files side by side give the ending of the targets, "
            "as in --option target=de."
        )
    if source is not None:
        raise UserError(f"{path} is no table, so it has no column {source!r}: leave the setting source out.")
    other = partner(path, target)
    one, two = read_lines(path), read_lines(other)
    if len(one) != len(two):
        raise UserError(f"{path} has {len(one):,} lines and {other} has {len(two):,}: line by line they are no pairs.")
    places = [f"line {number}" for number in range(1, len(one) + 1)]
    columns = Columns(text=_ending(path), label=target)
    return _checked(path, columns, zip(places, one, two, strict=True))


def read_column(path: Path, *, text: str | None = None) -> LabelledTexts:
    """Texts alone: a column of a table (guessed where it is not named), or the lines of another file that are not
    empty. Their labels are empty."""
    if has_known_form(path):
        rows = read_rows(path)
        first = next(rows, None)
        if first is None:
            raise UserError(f"{path} has no rows: a table needs a header and a line for each text.")
        name = _column(path, list(first[1]), text, ("text", "content", *SOURCES), "text")
        found = [(place, str(_cell(record.get(name), " ".join))) for place, record in itertools.chain([first], rows)]
        empty = next((place for place, one in found if not one.strip()), None)
        if empty is not None:
            raise UserError(f"{path}, {empty}: the text (column {name}) is empty: fill it, or delete the row.")
    else:
        if text is not None:
            raise UserError(f"{path} is no table, so it has no column {text!r}: leave --text out.")
        if not path.is_file():
            raise UserError(f"There is no file {path}: check the path.")
        name = "line"
        found = [(f"line {at}", line) for at, line in enumerate(read_lines(path), start=1) if line.strip()]
    if not found:
        raise UserError(f"{path} holds no text.")
    places, texts = zip(*found, strict=True)
    return LabelledTexts(str(path), Columns(name, name), texts, ("",) * len(texts), places)


def partner(path: Path, ending: str) -> Path:
    """The file beside `path` whose name has another ending, before `.gz`. Raises `UserError` where there is none."""
    if not path.is_file():
        raise UserError(f"There is no file {path}: check the path.")
    packed = path.suffix.lower() == ".gz"
    plain = path.with_suffix("") if packed else path
    other = plain.with_suffix(f".{ending.lstrip('.')}")
    found = next((one for one in (other, other.with_name(f"{other.name}.gz")) if one.is_file()), None)
    if found is None or found == path:
        raise UserError(f"{path} has no targets beside it: there is no other file {other}{'.gz' if packed else ''}.")
    return found


def _ending(path: Path) -> str:
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return plain.suffix.lstrip(".") or "source"


def _from_table(path: Path, source: str | None, target: str | None) -> LabelledTexts:
    rows = read_rows(path)
    first = next(rows, None)
    if first is None:
        raise UserError(f"{path} has no rows: a table needs a header and a line for each pair.")
    names = list(first[1])
    text = _column(path, names, source, SOURCES, "source")
    label = _column(path, names, target, TARGETS, "target")

    def pairs() -> Iterator[tuple[str, str, Target]]:
        for place, record in itertools.chain([first], rows):
            yield place, str(_cell(record.get(text), " ".join)), _cell(record.get(label), tuple)

    return _checked(path, Columns(text, label), pairs())


def _column(path: Path, names: list[str], asked: str | None, usual: tuple[str, ...], what: str) -> str:
    """The column asked for, or the one with a usual name."""
    has = f"it has {', '.join(names)}"
    if asked is not None:
        if asked not in names:
            raise UserError(f"{path} has no column {asked!r}: {has}.")
        return asked
    lower = {name.lower(): name for name in names}
    found = next((lower[name] for name in usual if name in lower), None)
    if found is None:
        raise UserError(f"{path} has no column with a usual name of a {what}: name it with --option {what}= ({has}).")
    return found


def _cell(value: object, of_list: Callable[[list[str]], Target]) -> Target:
    """A cell's text; what `of_list` makes of several."""
    if isinstance(value, list):
        return of_list([str(one) for one in value])
    return "" if value is None else str(value)


def _checked(path: Path, columns: Columns, pairs: Iterator[tuple[str, str, Target]]) -> LabelledTexts:
    places, sources, targets = [], [], []
    for place, source, target in pairs:
        for text, what in ((source, columns.text), (target, columns.label)):
            if not text or not all(one.strip() for one in references(text)):
                raise UserError(f"{path}, {place}: {what} is empty: fill it, or take the pair out.")
        places.append(place)
        sources.append(source)
        targets.append(target)
    if not places:
        raise UserError(f"{path} holds no pairs.")
    return LabelledTexts(str(path), columns, tuple(sources), tuple(targets), tuple(places))
