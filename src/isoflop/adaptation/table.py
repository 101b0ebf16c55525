"""A user's own table of examples, read so that no row is lost in silence and every fault has its place."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from isoflop.adaptation.rows import Places, Record, read_rows
from isoflop.errors import UserError

USUAL_NAMES: Mapping[str, str] = {
    "text": "text sentence review content utterance comment tweet document question title",
    "label": "label labels sentiment category class intent topic target stars y tags",
    "first": "text1 sentence1 premise question1 text_a sentence_a first query",
    "second": "text2 sentence2 hypothesis question2 text_b sentence_b second document",
    "tokens": "tokens words",
    "tags": "tags ner_tags labels pos_tags",
    "question": "question query",
    "context": "context paragraph passage document",
    "answers": "answers answer",
}
"""What a column is for -> how it is often called."""
FLAGS = ("text", "label")
MOST_TEXT = 1 << 30
"""Characters of a file's examples. All are held in memory with their tokens, which is some four times as much; what is
larger would end in the machine's killing of the process."""


@dataclass(frozen=True)
class Columns:
    """Which column holds the text and which the label; None before they are known."""

    text: str | None
    label: str | None


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with their labels, in the file's order, and where each stands in it.

    A text is a string, or a tuple of strings where a task reads several; a label likewise, as the task has it.
    `columns` is a dataclass of the columns' names, of which the last is the answers'.
    """

    source: str
    columns: Any
    texts: tuple[Any, ...]
    labels: tuple[Any, ...]
    places: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, chosen: Sequence[int]) -> LabelledTexts:
        """The examples with these numbers, counted from 0, in this order."""
        texts, labels, places = (tuple(one[at] for at in chosen) for one in (self.texts, self.labels, self.places))
        return LabelledTexts(self.source, self.columns, texts, labels, places)


class Fault(Exception):
    """What is wrong with a row; its place is put before it."""


def read_labelled(path: Path, *, text: str | None = None, label: str | None = None) -> LabelledTexts:
    """Read texts with one label each from a file (`rows.read_rows` says of which forms); columns that are not named are
    guessed. Raises `UserError`, with the line, for a missing column, an empty text or label, and a row that is broken.
    """
    return read_examples(path, Columns(text, label), _one_label)


def read_examples(path: Path, columns: Any, parse: Callable[[Record, Any], tuple[Any, Any]]) -> LabelledTexts:
    """Read a file's examples, each by `parse(record, columns)`, a text and a label, which may raise `Fault`.

    `columns` is a dataclass whose fields name columns, with None for one that is to be guessed. A number means a place
    in a file without a header, counted from 1. Raises `UserError` with the place.
    """
    columns, rows = _opened(path, columns)
    places, texts, labels, size = [], [], [], 0
    for place, record in rows:
        try:
            words, answer = parse(record, columns)
        except Fault as fault:
            raise UserError(f"{path}, {place}: {fault}") from None
        size += len(words) if isinstance(words, str) else sum(map(len, words))
        if size > MOST_TEXT:
            raise UserError(
                f"{path} has more than {MOST_TEXT:,} characters of text by {place}, and all examples are held in "
                "memory: train on a part of its rows."
            )
        places.append(place)
        texts.append(words)
        labels.append(answer)
    return LabelledTexts(str(path), columns, tuple(texts), tuple(labels), tuple(places))


def filled(record: Record, column: str, what: str) -> str:
    """The text in a column. Raises `Fault` where it is empty."""
    found = as_text(record.get(column))
    if not found.strip():
        raise Fault(f"the {what} (column {column}) is empty: fill it, or delete the row.")
    return found


def as_text(value: Any) -> str:
    """A value as text: 1.0 is the label 1, as a spreadsheet means it."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _one_label(record: Record, columns: Columns) -> tuple[str, str]:
    text = filled(record, str(columns.text), "text")
    return text, filled(record, str(columns.label), "label").strip()


def _opened(path: Path, columns: Any) -> tuple[Any, Places]:
    """The columns, all named, and the rows."""
    rows = read_rows(path)
    first = next(rows, None)
    given = [name for name in asdict(columns).values() if name is not None]
    if first is None:
        raise UserError(f"{path} has no rows: a table needs a header and a line for each example.")
    if given and all(name.isdecimal() for name in given) and not set(given) & set(first[1]):
        rows = read_rows(path, has_header=False)
        first = next(rows)
    return _named(path, list(first[1]), columns), itertools.chain([first], rows)


def _named(path: Path, names: list[str], columns: Any) -> Any:
    """`columns` with all fields named."""
    lower, known = {name.lower(): name for name in names}, ", ".join(map(repr, names))
    found: dict[str, str | None] = {}
    for what, wanted in asdict(columns).items():
        if wanted is not None and wanted not in names:
            raise UserError(f"{path} has no column {wanted!r}: choose {_flag(what)} from {known}.")
        taken = set(found.values())
        usual = (lower[name] for name in USUAL_NAMES[what].split() if name in lower and lower[name] not in taken)
        found[what] = wanted or next(usual, None)
    missing = [what for what, name in found.items() if name is None]
    left = [name for name in names if name not in found.values()]
    if len(missing) == 1 and len(left) == 1 and len(names) == len(found):  # the other one is the other one
        found[missing.pop()] = left[0]
    if missing:
        raise UserError(
            f"{path} has no column for the {missing[0]} ({', '.join(USUAL_NAMES[missing[0]].split()[:3])}, …): "
            f"choose one with {_flag(missing[0])} from {known}."
        )
    twice = next((name for name in found.values() if list(found.values()).count(name) > 1), None)
    if twice is not None:
        both = " and ".join(what for what, name in found.items() if name == twice)
        flags = " and ".join(_flag(what) for what, name in found.items() if name == twice)
        raise UserError(f"{path}: column {twice!r} can't be both {both}: use {flags}.")
    return replace(columns, **found)


def _flag(what: str) -> str:
    return f"--{what}" if what in FLAGS else f"--option {what}=COLUMN"
