"""One label for each text: sentiment, topic, intent.

K labels, N texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from isoflop.adaptation.batches import TextBatches
from isoflop.adaptation.classifier import POOLINGS, Classifier, pooling_for
from isoflop.adaptation.floor import fit_floor
from isoflop.adaptation.long_text import LONGER, PATTERNS, Reading, with_windows
from isoflop.adaptation.prediction import Guess, guesses, probabilities
from isoflop.adaptation.pretrained import Pretrained
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.saved import (
    TASK,
    check_filled,
    damaged,
    load_adapted,
    load_body,
    put_head,
    read_temperature,
    save_adapted,
)
from isoflop.adaptation.split import TRAIN, Split, check_measurable, make_split
from isoflop.adaptation.table import LabelledTexts, read_labelled
from isoflop.adaptation.task import Files, Floor, Measured, Predictor
from isoflop.errors import UserError
from isoflop.evaluation.calibration import with_temperature
from isoflop.evaluation.classification import classification_measures, classification_scores
from isoflop.models import Model
from isoflop.models.storage import write_weights

SEGMENTS = "segments.safetensors"
SHOWN = 6
"""Labels that a sentence names."""
"""Weights of the small Transformer over segments, where there is one."""


@dataclass(frozen=True)
class Classify:
    """A table with a column of texts and one of labels, named or guessed; `long`, `join` and `most` say how texts are
    read that are longer than the model (`long_text.Reading`)."""

    text: str | None = None
    label: str | None = None
    long: str = "head"
    join: str = "mean"
    most: int = 16
    name = "classify"
    purpose = "to classify text"
    unit = "label"
    stacks = ("encoder", "decoder")

    def __post_init__(self) -> None:
        Reading(1, self.long, self.join, self.most)  # refuses what is not known

    def read(self, files: Files) -> Split:
        """Read the parts. Raises `UserError` for one label only, a label unknown to train, nothing to measure on."""
        first = read_labelled(files.train, text=self.text, label=self.label)
        labels = in_order(set(first.labels))
        if len(labels) < 2:
            raise UserError(f"{files.train} has one label only, {labels[0]!r}: a classifier needs two or more.")
        parts, columns = {TRAIN: first}, first.columns
        for name, path in files.held_out.items():
            parts[name] = read_labelled(path, text=columns.text, label=columns.label)
            check_labels(parts[name], labels, files.train)
        return make_split(self, parts, labels=labels)

    def trial(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> ClassifyTrial:
        """What the engine trains."""
        context = pretrained.model.shape.context
        pattern = next((one for one in PATTERNS if one == self.long), None)
        if pattern is not None:
            if recipe.method.places:
                raise UserError(f"--long {pattern} does not go with {recipe.method.name}: not all tokens would see it.")
            context = LONGER * context if recipe.longest is None else recipe.longest
            longer = with_windows(pretrained.model, recipe.tokens_of(context), pattern)
            pretrained = replace(pretrained, model=longer, info=replace(pretrained.info, shape=longer.shape))
        reading = Reading(recipe.tokens_of(context), self.long, self.join, self.most)
        if reading.is_segmented and recipe.joint is not None and recipe.joint.text is None:
            raise UserError(f"--joint-alpha can't predict texts that --long {self.long} cuts up: add --joint-text.")
        return ClassifyTrial(pretrained, split, recipe, reading)

    def examine(self, predictor: Any, table: Path) -> Measured:
        """Labels and their probabilities, and how right they are, on another table."""
        part = read_labelled(table, text=self.text, label=self.label)
        check_labels(part, predictor.labels, None)
        return measured(predictor.probabilities(part.texts), part.labels, predictor.labels)

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Predictor:
        """The classifier in `folder`."""
        labels, pooling, reading = record.get("labels"), record.get("pooling"), reading_in(record)
        if not isinstance(labels, list) or pooling not in POOLINGS or reading is None:
            raise damaged(folder / TASK)
        body, tokenizer = load_body(folder)
        assert isinstance(body, Model)
        segments = reading.segments(body.shape, seed=0)
        model = Classifier(body, len(labels), pooling=pooling, segments=segments)
        put_head(model.head, folder)
        if segments is not None and segments.over is not None:
            put_head(segments, folder, name=SEGMENTS)
        return TextClassifier(model, tokenizer, tuple(map(str, labels)), reading, read_temperature(folder))


@dataclass(frozen=True)
class TextClassifier:
    """A classifier with all that it needs to read text: tokenizer, names of labels, what it reads of long texts, and
    what its logits are divided by (`isoflop evaluate --calibrate`)."""

    model: Classifier
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    reading: Reading
    temperature: float = 1.0
    inputs = ("text",)

    def predict(self, texts: Sequence[str]) -> list[Guess]:
        """The likeliest label of each text. Raises `UserError` for a text that is empty."""
        check_filled([(text,) for text in texts])
        if not texts:
            return []
        return guesses(self.probabilities(texts), self.labels)

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The probability of every label for each text (N, K)."""
        found = probabilities(self.model, self.reading.tokens(self.tokenizer, texts))
        return found if self.temperature == 1 else with_temperature(found, self.temperature)

    def rows(self, examples: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Label, its probability and the text."""
        texts = [text for (text,) in examples]
        told = zip(texts, self.predict(texts), strict=True)
        return [(guess.label, f"{guess.probability:.6f}", text) for text, guess in told]


class ClassifyTrial:
    """A `Classifier` on a table's texts."""

    def __init__(self, pretrained: Pretrained, split: Split, recipe: Recipe, reading: Reading) -> None:
        self.pretrained, self.split = pretrained, split
        body, tokenizer = pretrained.model, pretrained.tokenizer
        self.tokens = {name: reading.tokens(tokenizer, part.texts) for name, part in split.parts.items()}
        pooling, segments = pooling_for(body, recipe.pooling), reading.segments(body.shape, seed=recipe.seed)
        self.model = Classifier(body, len(split.labels), pooling=pooling, seed=recipe.seed, segments=segments)
        self.batches = TextBatches(self.tokens[TRAIN], split.answers(TRAIN), recipe.batch, recipe.seed)
        self.epoch_tokens = sum(map(len, self.tokens[TRAIN].sequences))
        self.notes = reading.notes(self.tokens)
        self.facts = {"labels": split.labels, "pooling": pooling, **reading.to_dict()}
        self.about = (f"Labels: {', '.join(split.labels)}", f"Pooling: {pooling}; {reading}")

    def measure(self, part: str, *, is_last: bool) -> Measured:
        """Labels and their probabilities, and how right they are."""
        del is_last
        found = probabilities(self.model, self.tokens[part])
        return measured(found, self.split.parts[part].labels, self.split.labels)

    def floor(self) -> Floor | None:
        """Counted words."""
        return fit_floor(self.split)

    def save(self, folder: Path) -> None:
        """Write the classifier."""
        record = {"task": "classify", **self.facts}
        model = self.model
        if model.segments is not None and model.segments.over is not None:
            write_weights(folder / SEGMENTS, model.segments.state_dict())
        save_adapted(folder, model.body, model.head.state_dict(), info=self.pretrained.info, record=record)


def measured(found: NDArray[np.float64], answers: Sequence[str], labels: tuple[str, ...]) -> Measured:
    """Scores of probabilities (N, K), and a row for each text."""
    number = {label: at for at, label in enumerate(labels)}
    numbers = [number[answer] for answer in answers]
    told = guesses(found, labels)
    rows = [(answer, guess.label, f"{guess.probability:.6f}") for answer, guess in zip(answers, told, strict=True)]
    scores = classification_scores(found, numbers, labels=labels)
    scores = replace(scores, measures=classification_measures(found, numbers))
    return Measured(scores, ("label", "predicted", "probability"), rows)


def read_split(
    train: Path, *, dev: Path | None = None, test: Path | None = None, text: str | None = None, label: str | None = None
) -> Split:
    """Read texts with one label each. Raises `UserError` as `Classify.read` does, and for nothing to measure on."""
    files = Files.of(train, dev, test)
    check_measurable(files.named)
    return Classify(text, label).read(files)


def load_classifier(folder: Path) -> TextClassifier:
    """The fine-tuned classifier in `folder`. Raises `UserError` where it is missing or damaged."""
    found = load_adapted(folder)
    if not isinstance(found, TextClassifier):
        raise UserError(f"{folder} holds a model of another task than classify: load it with load_adapted.")
    return found


def reading_in(record: Mapping[str, Any]) -> Reading | None:
    """What is read of long texts, as `record` says it; None where it says nonsense."""
    longest, most = record.get("longest"), record.get("most", Reading.most)
    if not isinstance(longest, int) or not isinstance(most, int):
        return None
    try:
        return Reading(longest, record.get("way", Reading.way), record.get("join", Reading.join), most)
    except UserError:
        return None


def in_order(labels: set[str]) -> tuple[str, ...]:
    """Numbers by size, other names by the alphabet."""
    if all(label.lstrip("-").isdecimal() for label in labels):
        return tuple(sorted(labels, key=int))
    return tuple(sorted(labels))


def check_labels(part: LabelledTexts, labels: tuple[str, ...], train: Path | None) -> None:
    """Raises `UserError` with its place for the part's first label that is not one of `labels`, those of `train`, or of
    a trained model where that is None."""
    known = set(labels)
    for place, answer in zip(part.places, part.labels, strict=True):
        for label in (answer,) if isinstance(answer, str) else answer:
            if label not in known:
                where = f"{part.source}, {place}: the label {label!r}"
                if train is None:
                    some = ", ".join(labels[:SHOWN]) + (", …" if len(labels) > SHOWN else "")
                    raise UserError(f"{where} is none of the model's ({some}): it can't be right.")
                raise UserError(
                    f"{where} is not in {train}, so nothing can learn it: add examples of it there, or correct it."
                )
