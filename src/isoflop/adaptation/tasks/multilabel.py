"""Several labels for each text, or none: topics of an article, what a review complains of.

B batch, N texts, K labels, D width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from isoflop.adaptation.batches import TextBatches
from isoflop.adaptation.classifier import Pooling, parts_read, pooling_for, text_vectors
from isoflop.adaptation.floor import fit_label_set_floor
from isoflop.adaptation.heads import new_head
from isoflop.adaptation.prediction import outputs
from isoflop.adaptation.pretrained import Pretrained, Tokenized, cut_notes, tokenize
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.rows import Record
from isoflop.adaptation.saved import check_filled, labels_in, load_body, pooling_in, put_head, save_adapted
from isoflop.adaptation.split import TRAIN, Split, make_split
from isoflop.adaptation.table import Columns, Fault, LabelledTexts, as_text, filled, read_examples
from isoflop.adaptation.task import Files, Floor, Measured, Predictor
from isoflop.adaptation.task_model import TaskModel
from isoflop.adaptation.tasks.classify import check_labels, in_order
from isoflop.errors import UserError
from isoflop.evaluation.label_sets import THRESHOLD, label_set_scores
from isoflop.models import Batch, Model


@dataclass(frozen=True)
class MultiLabel:
    """A table with a column of texts and one of sets of labels: a list, or names with `separator` between them."""

    text: str | None = None
    label: str | None = None
    separator: str = "|"
    name = "multilabel"
    purpose = "to give text several labels"
    unit = "yes or no of a label"
    stacks = ("encoder", "decoder")

    def read(self, files: Files) -> Split:
        """Read the parts. Raises `UserError` for one label only, a label unknown to train, a cell that is no set."""
        first = read_examples(files.train, Columns(self.text, self.label), self._parse)
        labels = in_order({label for some in first.labels for label in some})
        if len(labels) < 2:
            found = f"one label only, {labels[0]!r}" if labels else "no label"
            raise UserError(f"{files.train} has {found}: this task needs two or more.")
        parts = {TRAIN: first}
        for name, path in files.held_out.items():
            parts[name] = read_examples(path, first.columns, self._parse)
            check_labels(parts[name], labels, files.train)
        return make_split(self, parts, labels=labels)

    def trial(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> MultiLabelTrial:
        """What the engine trains."""
        return MultiLabelTrial(pretrained, split, recipe)

    def examine(self, predictor: LabelSets, table: Path) -> Measured:
        """How right the sets of a saved model are on another table."""
        part = read_examples(table, Columns(self.text, self.label), self._parse)
        check_labels(part, predictor.labels, None)
        tokens = tokenize(predictor.tokenizer, part.texts, longest=predictor.longest)
        return _measured(set_probabilities(predictor.model, tokens), part, predictor.labels)

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Predictor:
        """The model in `folder`."""
        (labels, longest), pooling = labels_in(folder, record), pooling_in(folder, record)
        body, tokenizer = load_body(folder)
        model = LabelSetModel(body, len(labels), pooling=pooling)
        put_head(model.head, folder)
        return LabelSets(model, tokenizer, labels, longest)

    def _parse(self, record: Record, columns: Columns) -> tuple[str, tuple[str, ...]]:
        text = filled(record, str(columns.text), "text")
        names = _names(record.get(str(columns.label)), self.separator)
        if len(set(names)) < len(names):
            raise Fault(f"the label {next(name for name in names if names.count(name) > 1)!r} is there twice.")
        return text, tuple(sorted(names))


def _names(cell: Any, separator: str) -> list[str]:
    """The labels in a cell. Raises `Fault` for a list that is none, and for an empty name among others."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = json.loads(cell)
        except ValueError as error:
            raise Fault(f"the labels are no JSON list ({error}).") from None
    names = cell if isinstance(cell, (list, tuple)) else as_text(cell).split(separator)
    if not isinstance(cell, (list, tuple)) and not as_text(cell).strip():
        return []
    told = [as_text(name).strip() for name in names]
    if not all(told):
        raise Fault(f"there is an empty name among the labels {', '.join(map(repr, told))}.")
    return told


@final
class LabelSetModel(TaskModel):
    """`body` with a linear `head` behind the pooled states of a text; a batch's targets are (B, K), 0 or 1."""

    def __init__(self, body: Model, labels: int, *, pooling: Pooling, seed: int = 0) -> None:
        super().__init__()
        self.body, self.pooling, self.reads = body, pooling, parts_read(pooling)
        self.head = new_head(body.shape.width, labels, seed=seed)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K)."""
        body: Any = self.body
        return self.head(text_vectors(body, batch, self.pooling))

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy in nats of a label's yes or no."""
        return F.binary_cross_entropy_with_logits(self(batch).float(), batch.targets.float())


class MultiLabelTrial:
    """A `LabelSetModel` on a table's texts."""

    def __init__(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> None:
        self.pretrained, self.split = pretrained, split
        body, tokenizer = pretrained.model, pretrained.tokenizer
        self.longest = recipe.tokens_of(body.shape.context)
        self.tokens = {
            name: tokenize(tokenizer, part.texts, longest=self.longest) for name, part in split.parts.items()
        }
        self.answers = {name: _as_numbers(part, split.labels) for name, part in split.parts.items()}
        pooling = pooling_for(body, recipe.pooling)
        self.model = LabelSetModel(body, len(split.labels), pooling=pooling, seed=recipe.seed)
        self.batches = TextBatches(self.tokens[TRAIN], list(self.answers[TRAIN]), recipe.batch, recipe.seed)
        self.epoch_tokens = sum(map(len, self.tokens[TRAIN].sequences))
        self.notes = (*cut_notes(self.tokens, self.longest), *_bare_notes(split))
        self.facts = {"labels": split.labels, "pooling": pooling, "longest": self.longest}
        self.about = (
            f"Labels: {', '.join(split.labels)}; one is given where its probability is at least {THRESHOLD:g}",
            f"Pooling: {pooling}; texts are cut behind {self.longest} tokens",
        )

    def measure(self, part: str, *, is_last: bool) -> Measured:
        """The probability of each label, and how right the sets are."""
        del is_last
        found = set_probabilities(self.model, self.tokens[part])
        return _measured(found, self.split.parts[part], self.split.labels)

    def floor(self) -> Floor | None:
        """Counted words, one regression for each label."""
        return fit_label_set_floor(self.split, self.answers)

    def save(self, folder: Path) -> None:
        """Write the model."""
        record = {"task": "multilabel", **self.facts}
        save_adapted(folder, self.model.body, self.model.head.state_dict(), info=self.pretrained.info, record=record)


@dataclass(frozen=True)
class LabelSets:
    """A saved `LabelSetModel` with all that it needs to read text."""

    model: LabelSetModel
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    longest: int
    inputs = ("text",)

    def predict(self, texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        """The labels of each text with their probabilities. Raises `UserError` for a text that is empty."""
        check_filled([(text,) for text in texts])
        if not texts:
            return []
        found = set_probabilities(self.model, tokenize(self.tokenizer, texts, longest=self.longest))
        return [_given(row, self.labels) for row in found]

    def rows(self, examples: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Labels with | between them, their probabilities likewise, and the text."""
        texts = [text for (text,) in examples]
        told = zip(texts, self.predict(texts), strict=True)
        return [("|".join(n for n, _ in given), "|".join(f"{p:.6f}" for _, p in given), text) for text, given in told]


def set_probabilities(model: LabelSetModel, texts: Tokenized) -> NDArray[np.float64]:
    """The probability of each label for each text: (N, K)."""
    found = np.empty((len(texts), model.head.out_features))
    for chosen, logits_BK in outputs(model, texts):
        found[chosen] = torch.sigmoid(logits_BK.double()).cpu().numpy()
    return found


def _measured(found: NDArray[np.float64], part: LabelledTexts, labels: tuple[str, ...]) -> Measured:
    rows = [
        ("|".join(right), "|".join(label for label, _ in _given(row, labels)))
        for right, row in zip(part.labels, found, strict=True)
    ]
    return Measured(label_set_scores(found, _as_numbers(part, labels), labels=labels), ("labels", "predicted"), rows)


def _given(row: NDArray[np.float64], labels: tuple[str, ...]) -> list[tuple[str, float]]:
    return [(label, float(p)) for label, p in zip(labels, row, strict=True) if p >= THRESHOLD]


def _as_numbers(part: LabelledTexts, labels: tuple[str, ...]) -> NDArray[np.int64]:
    """(N, K), 1 where a text has a label."""
    number = {label: at for at, label in enumerate(labels)}
    found = np.zeros((len(part), len(labels)), dtype=np.int64)
    for row, some in enumerate(part.labels):
        found[row, [number[label] for label in some]] = 1
    return found


def _bare_notes(split: Split) -> list[str]:
    bare = {name: sum(not some for some in part.labels) for name, part in split.parts.items()}
    parts = split.parts
    return [
        f"{count} of the {len(parts[name]):,} texts of {name} have no label." for name, count in bare.items() if count
    ]
