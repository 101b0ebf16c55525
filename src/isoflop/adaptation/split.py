"""Train, dev and test as one whole: which labels there are, whether the parts fit together, what is in two of them."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isoflop.adaptation.table import LabelledTexts
from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.adaptation.task import Task

TRAIN = "train"


@dataclass(frozen=True)
class Split:
    """Examples of a task: the parts by name (`train`, and `dev`, `test` or both), all labels in order (none for a task
    without any), a hash of it all, and warnings."""

    task: Task
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
        """Numbers of the labels of a part whose texts have one each."""
        number = {label: at for at, label in enumerate(self.labels)}
        return [number[label] for label in self.parts[name].labels]

    def with_parts(self, parts: Mapping[str, LabelledTexts]) -> Split:
        """The same task and labels with other parts: a fold, a subset, more texts to train on."""
        return make_split(self.task, parts, labels=self.labels)


def make_split(task: Task, parts: Mapping[str, LabelledTexts], *, labels: tuple[str, ...] = ()) -> Split:
    """The parts as one, with their hash and what is in two of them."""
    in_order = {name: parts[name] for name in (TRAIN, "dev", "test") if name in parts}
    return Split(task, in_order, labels, _hash(in_order), tuple(_leaks(in_order)))


def check_measurable(names: Collection[str]) -> None:
    """Raises `UserError` where there is nothing but train among the parts' `names`."""
    if not set(names) - {TRAIN}:
        raise UserError("There is nothing to measure on: name a table with --dev, --test or both.")


def strings_in(value: Any) -> Iterator[str]:
    """All the texts of an example, however it is made of them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from strings_in(one)


def _hash(parts: Mapping[str, LabelledTexts]) -> str:
    digest = hashlib.sha256()
    for name, part in parts.items():
        digest.update(json.dumps([name, part.texts, part.labels]).encode())
    return digest.hexdigest()[:16]


def _leaks(parts: Mapping[str, LabelledTexts]) -> list[str]:
    seen = {fingerprint(text) for text in parts[TRAIN].texts}
    found = []
    for name, part in parts.items():
        both = sum(fingerprint(text) in seen for text in part.texts) if name != TRAIN else 0
        if both:
            found.append(f"{both} of the {len(part):,} texts of {name} are in train too, which flatters its figures.")
    return found


def fingerprint(text: Any) -> bytes:
    """The same for texts that differ only in case, white space or how a letter is encoded."""
    plain = (" ".join(unicodedata.normalize("NFKC", one).casefold().split()) for one in strings_in(text))
    return hashlib.sha256("\x1f".join(plain).encode()).digest()
