"""One label for two texts: whether one follows from the other, whether they mean the same.

N pairs, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from isoflop.adaptation.batches import TextBatches
from isoflop.adaptation.classifier import Classifier, pooling_for
from isoflop.adaptation.floor import fit_floor
from isoflop.adaptation.pairs import reads_pairs
from isoflop.adaptation.prediction import Guess, guesses, outputs
from isoflop.adaptation.pretrained import Pretrained, Tokenized, cut_notes, tokenize
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.rows import Record
from isoflop.adaptation.saved import check_filled, labels_in, load_body, pooling_in, put_head, save_adapted
from isoflop.adaptation.split import TRAIN, Split, make_split
from isoflop.adaptation.table import filled, read_examples
from isoflop.adaptation.task import Files, Floor, Measured, Predictor
from isoflop.adaptation.tasks.classify import check_labels, in_order, measured
from isoflop.errors import UserError
from isoflop.models import Model


@dataclass(frozen=True)
class PairColumns:
    """Which columns hold the two texts and the label; None before they are known."""

    first: str | None
    second: str | None
    label: str | None


@dataclass(frozen=True)
class Pairs:
    """A table with two columns of texts and one of labels, named or guessed."""

    first: str | None = None
    second: str | None = None
    label: str | None = None
    name = "pairs"
    purpose = "to classify pairs of texts"
    unit = "label"
    stacks = ("encoder", "decoder")

    def read(self, files: Files) -> Split:
        """Read the parts. Raises `UserError` for one label only, a label unknown to train, an empty text."""
        first = read_examples(files.train, PairColumns(self.first, self.second, self.label), _parse)
        labels = in_order(set(first.labels))
        if len(labels) < 2:
            raise UserError(f"{files.train} has one label only, {labels[0]!r}: a classifier needs two or more.")
        parts = {TRAIN: first}
        for name, path in files.held_out.items():
            parts[name] = read_examples(path, first.columns, _parse)
            check_labels(parts[name], labels, files.train)
        return make_split(self, parts, labels=labels)

    def trial(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> PairsTrial:
        """What the engine trains."""
        return PairsTrial(pretrained, split, recipe)

    def examine(self, predictor: PairClassifier, table: Path) -> Measured:
        """Labels and their probabilities, and how right they are, on another table."""
        part = read_examples(table, PairColumns(self.first, self.second, self.label), _parse)
        check_labels(part, predictor.labels, None)
        tokens = tokenize(predictor.tokenizer, part.texts, longest=predictor.longest)
        return measured(pair_probabilities(predictor.model, tokens), part.labels, predictor.labels)

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Predictor:
        """The model in `folder`."""
        (labels, longest), pooling = labels_in(folder, record), pooling_in(folder, record)
        body, tokenizer = load_body(folder)
        model = Classifier(body, len(labels), pooling=pooling)
        put_head(model.head, folder)
        return PairClassifier(model, reads_pairs(tokenizer), labels, longest)


def _parse(record: Record, columns: PairColumns) -> tuple[tuple[str, str], str]:
    first = filled(record, str(columns.first), "first text")
    second = filled(record, str(columns.second), "second text")
    return (first, second), filled(record, str(columns.label), "label").strip()


class PairsTrial:
    """A `Classifier` on pairs of texts; segments say which text a token is of, where the model has a table of them."""

    def __init__(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> None:
        self.pretrained, self.split = pretrained, split
        body, tokenizer = pretrained.model, reads_pairs(pretrained.tokenizer)
        self.longest = recipe.tokens_of(body.shape.context)
        self.tokens = {
            name: tokenize(tokenizer, part.texts, longest=self.longest) for name, part in split.parts.items()
        }
        pooling = pooling_for(body, recipe.pooling)
        self.model = Classifier(body, len(split.labels), pooling=pooling, seed=recipe.seed)
        segments = has_segments(body)
        self.batches = TextBatches(
            self.tokens[TRAIN], split.answers(TRAIN), recipe.batch, recipe.seed, has_segments=segments
        )
        self.epoch_tokens = sum(map(len, self.tokens[TRAIN].sequences))
        self.notes = cut_notes(self.tokens, self.longest)
        self.facts = {"labels": split.labels, "pooling": pooling, "longest": self.longest}
        told = "with segments" if segments else "without segments"
        self.about = (
            f"Labels: {', '.join(split.labels)}",
            f"Pooling: {pooling}; pairs are read {told} and cut behind {self.longest} tokens, the longer text first",
        )

    def measure(self, part: str, *, is_last: bool) -> Measured:
        """Labels and their probabilities, and how right they are."""
        del is_last
        found = pair_probabilities(self.model, self.tokens[part])
        return measured(found, self.split.parts[part].labels, self.split.labels)

    def floor(self) -> Floor | None:
        """Counted words of either text."""
        return fit_floor(self.split)

    def save(self, folder: Path) -> None:
        """Write the model."""
        record = {"task": "pairs", **self.facts}
        save_adapted(folder, self.model.body, self.model.head.state_dict(), info=self.pretrained.info, record=record)


@dataclass(frozen=True)
class PairClassifier:
    """A saved classifier of pairs with all that it needs to read them."""

    model: Classifier
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    longest: int
    inputs = ("first", "second")

    def predict(self, pairs: Sequence[tuple[str, str]]) -> list[Guess]:
        """The likeliest label of each pair. Raises `UserError` for an empty text."""
        check_filled(pairs)
        if not pairs:
            return []
        found = pair_probabilities(self.model, tokenize(self.tokenizer, pairs, longest=self.longest))
        return guesses(found, self.labels)

    def rows(self, examples: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Label, its probability and the two texts."""
        told = self.predict([(first, second) for first, second in examples])
        return [(one.label, f"{one.probability:.6f}", *pair) for one, pair in zip(told, examples, strict=True)]


def has_segments(body: Model) -> bool:
    """Whether the model has vectors for tokens of a second text."""
    return body.shape.segments > 1


def pair_probabilities(model: Classifier, pairs: Tokenized) -> NDArray[np.float64]:
    """The probability of every label for each pair: (N, K)."""
    found = np.empty((len(pairs), model.head.out_features))
    for chosen, logits in outputs(model, pairs, has_segments=has_segments(model.body)):
        found[chosen] = torch.softmax(logits[:, 0].double(), dim=-1).cpu().numpy()
    return found
