"""Self-training: what a model is sure of on texts without labels becomes training data of the next model.

Lee 2013 (pseudo-labels); each round starts from the pretrained model again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from isoflop.adaptation.few_labels.augmentation import check_single, with_added, write_origins
from isoflop.adaptation.finetuning import Event, Machine, Ready, finetune
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.result import Result
from isoflop.adaptation.rows import read_rows
from isoflop.adaptation.saved import load_adapted
from isoflop.adaptation.split import Split
from isoflop.adaptation.table import LabelledTexts
from isoflop.errors import UserError

NOT_YET = ""
"""The label of a text that has none."""


@dataclass(frozen=True)
class SelfTraining:
    """`rounds` times the texts whose label has a probability of at least `confidence` are added to train."""

    rounds: int = 1
    confidence: float = 0.9

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise UserError(f"Self-training needs at least 1 round, not {self.rounds}.")
        if not 0 < self.confidence <= 1:
            raise UserError(f"--confidence must be above 0 and at most 1, not {self.confidence}.")


@dataclass(frozen=True)
class Labelled:
    """A round ended: how many of the texts got a label, by label; `leaked` are sure too, but in dev or test."""

    round: int
    counts: Mapping[str, int]
    texts: int
    leaked: int
    result: Result


def read_unlabelled(path: Path, *, column: str) -> LabelledTexts:
    """The texts of a table's `column`; labels that stand there are not looked at.

    Raises `UserError`, with the line, for a missing column and an empty text.
    """
    texts, places = [], []
    for place, row in read_rows(path):
        if column not in row:
            raise UserError(f"{path} has no column {column!r}, which is train's column of the text: rename one.")
        text = str(row[column] or "")
        if not text.strip():
            raise UserError(f"{path}, {place}: the text (column {column}) is empty: fill it, or delete the row.")
        texts.append(text)
        places.append(place)
    if not texts:
        raise UserError(f"{path} has no rows: there is nothing to label.")
    return LabelledTexts(str(path), None, tuple(texts), (NOT_YET,) * len(texts), tuple(places))


def self_train(
    model: Path,
    split: Split,
    unlabelled: LabelledTexts,
    *,
    out: Path,
    how: SelfTraining | None = None,
    recipe: Recipe | None = None,
    machine: Machine | None = None,
) -> Iterator[Event | Labelled]:
    """Fine-tune `model` on `split`, label, and fine-tune it anew on both; the last fine-tuning is in `out`, those
    before in its folders `round-0`, ….

    What was trained on, and where each label is from, is in `train.csv` of `out`. Texts of dev and test never get into
    train. Ends with the last `Result`; with a `Diverged` where a fine-tuning fails. Raises `UserError` as `finetune`
    does, and where nothing is sure enough.
    """
    how = how or SelfTraining()
    check_single(split)
    current = split
    for number in range(how.rounds):
        folder = out / f"round-{number}"
        result = None
        for event in finetune(model, current, out=folder, recipe=recipe, machine=machine):
            if isinstance(event, Result):
                result = event
            else:
                yield event
        if result is None:
            return
        sure = _sure(folder, unlabelled, how, number)
        current, leaked = with_added(split, sure)
        added = Counter(current.train.labels[len(split.train) :])
        if not added:
            raise UserError(
                f"No text of {unlabelled.source} has a label with a probability of {how.confidence:g}: "
                "lower --confidence, or leave self-training out."
            )
        counts = {label: added[label] for label in split.labels}
        yield Labelled(number, counts, len(unlabelled), leaked, result)
    for event in finetune(model, current, out=out, recipe=recipe, machine=machine):
        if isinstance(event, Ready):
            write_origins(out / "train.csv", current.train)
        yield event


def _sure(folder: Path, unlabelled: LabelledTexts, how: SelfTraining, number: int) -> LabelledTexts:
    """The texts that the model in `folder` is sure of, with its labels."""
    found = load_adapted(folder).rows([(text,) for text in unlabelled.texts])
    chosen = [at for at, row in enumerate(found) if float(row[1]) >= how.confidence]
    sure = unlabelled.take(chosen)
    source = Path(unlabelled.source).name
    places = [f"{source}, {unlabelled.places[at]}, p = {found[at][1]} in round {number}" for at in chosen]
    return replace(sure, labels=tuple(found[at][0] for at in chosen), places=tuple(places))
