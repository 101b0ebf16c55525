"""Train, dev and test as one whole: which labels there are, whether the parts fit together, what is in two of them."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from isoflop.adaptation.table import LabelledTexts, read_labelled
from isoflop.errors import UserError

TRAIN = "train"


@dataclass(frozen=True)
class Split:
    """The parts by name (`train`, and `dev`, `test` or both), all labels in order, a hash of it all, and warnings."""

    parts: Mapping[str, LabelledTexts]
    labels: tuple[str, ...]
    hash: str
    warnings: tuple[str, ...]

    @property
    def train(self) -> LabelledTexts:
        return self.parts[TRAIN]

    @property
    def held_out(self) -> dict[str, LabelledTexts]:
        """What is measured on."""
        return {name: part for name, part in self.parts.items() if name != TRAIN}

    def answers(self, name: str) -> list[int]:
        """Numbers of the labels of a part's texts."""
        number = {label: at for at, label in enumerate(self.labels)}
        return [number[label] for label in self.parts[name].labels]


def read_split(
    train: Path, *, dev: Path | None = None, test: Path | None = None, text: str | None = None, label: str | None = None
) -> Split:
    """Read the parts. Raises `UserError` for one label only, a label unknown to train, nothing to measure on."""
    if dev is None and test is None:
        raise UserError("There is nothing to measure on: name a table with --dev, --test or both.")
    first = read_labelled(train, text=text, label=label)
    labels = _in_order(set(first.labels))
    if len(labels) < 2:
        raise UserError(f"{train} has one label only, {labels[0]!r}: a classifier needs two or more.")
    parts, columns = {TRAIN: first}, first.columns
    for name, path in (("dev", dev), ("test", test)):
        if path is not None:
            parts[name] = read_labelled(path, text=columns.text, label=columns.label)
            _check_labels(parts[name], labels, train)
    return Split(parts, labels, _hash(parts), tuple(_leaks(parts)))


def _in_order(labels: set[str]) -> tuple[str, ...]:
    """Numbers by size, other names by the alphabet."""
    if all(label.lstrip("-").isdecimal() for label in labels):
        return tuple(sorted(labels, key=int))
    return tuple(sorted(labels))


def _check_labels(part: LabelledTexts, labels: tuple[str, ...], train: Path) -> None:
    for place, label in zip(part.places, part.labels, strict=True):
        if label not in labels:
            raise UserError(
                f"{part.source}, {place}: the label {label!r} is not in {train}, so nothing can learn it: "
                "add examples of it there, or correct it."
            )


def _hash(parts: Mapping[str, LabelledTexts]) -> str:
    digest = hashlib.sha256()
    for name, part in parts.items():
        digest.update(json.dumps([name, part.texts, part.labels]).encode())
    return digest.hexdigest()[:16]


def _leaks(parts: Mapping[str, LabelledTexts]) -> list[str]:
    seen = {_fingerprint(text) for text in parts[TRAIN].texts}
    found = []
    for name, part in parts.items():
        both = sum(_fingerprint(text) in seen for text in part.texts) if name != TRAIN else 0
        if both:
            found.append(f"{both} of the {len(part):,} texts of {name} are in train too, which flatters its figures.")
    return found


def _fingerprint(text: str) -> bytes:
    """The same for texts that differ only in case, white space or how a letter is encoded."""
    return hashlib.sha256(" ".join(unicodedata.normalize("NFKC", text).casefold().split()).encode()).digest()
