"""Train with texts in other words added. Nothing that is measured on is changed, and nothing of it comes into train."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isoflop.adaptation.few_labels.rewriting import Rewriter
from isoflop.adaptation.split import TRAIN, Split, fingerprint
from isoflop.adaptation.table import LabelledTexts
from isoflop.errors import UserError
from isoflop.files import write_text


@dataclass(frozen=True)
class Enlarged:
    """A split whose train is larger, and a sentence on what was added.

    The places of the added texts say where they are from: "line 4, random edit".
    """

    split: Split
    note: str


def augment(split: Split, rewriter: Rewriter, *, copies: int = 1, seed: int = 0) -> Enlarged:
    """`split` with `copies` rewritings of every text of train, which have its label.

    A rewriting is left out where it is already in train, or in a part that is measured on. Raises `UserError` for a
    task whose examples are more than one text with an answer.
    """
    if copies < 1:
        raise UserError(f"Each text must be rewritten once or more, not {copies} times.")
    train = split.train
    check_single(split)
    draw = random.Random(seed)
    texts: list[str] = []
    labels: list[Any] = []
    places: list[str] = []
    for _ in range(copies):
        texts += rewriter.rewrite(train.texts, draw)
        labels += train.labels
        places += [f"{place}, {rewriter.name}" for place in train.places]
    added = replace(train, texts=tuple(texts), labels=tuple(labels), places=tuple(places))
    enlarged, leaked = with_added(split, added)
    same = len(texts) - (len(enlarged.train) - len(train)) - leaked
    counts = f"{len(train):,} texts of train and {len(enlarged.train) - len(train):,} by {rewriter.name}"
    return Enlarged(enlarged, f"{counts} ({same:,} left out as in train already, {leaked:,} as in dev or test).")


def with_added(split: Split, added: LabelledTexts) -> tuple[Split, int]:
    """`split` with more texts in train: those that are neither there nor in a held-out part; and how many are in one.

    What train has twice of its own it keeps.
    """
    held_out = {fingerprint(text) for part in split.held_out.values() for text in part.texts}
    seen = {fingerprint(text) for text in split.train.texts}
    chosen, leaked = [], 0
    for at, text in enumerate(added.texts):
        mark = fingerprint(text)
        leaked += mark in held_out
        if mark not in held_out and mark not in seen:
            seen.add(mark)
            chosen.append(at)
    more, train = added.take(chosen), split.train
    larger = replace(
        train,
        texts=train.texts + more.texts,
        labels=train.labels + more.labels,
        places=train.places + more.places,
    )
    return split.with_parts({**split.parts, TRAIN: larger}), leaked


def check_single(split: Split) -> None:
    """Raises `UserError` for a task whose examples are not one text with one label each."""
    if not split.labels or not all(isinstance(one, str) for one in (*split.train.texts, *split.train.labels)):
        raise UserError(
            f"Only texts with one label each can be added to, not examples of the task {split.task.name!r}."
        )


def write_origins(path: Path, train: LabelledTexts) -> None:
    """Write what was trained on, and where each text is from, as a table."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("text", "label", "origin"))
    writer.writerows(_rows(train))
    write_text(path, table.getvalue())


def _rows(train: LabelledTexts) -> Iterable[Sequence[str]]:
    return zip(train.texts, train.labels, train.places, strict=True)
