"""One label for each text, told by the word that the pretrained model's own head puts into a template.

Pattern-exploiting training (Schick and Schütze 2020, arXiv 2001.07676) without a model for each pattern: one model
learns all of them, and what it says of a text is the softmax of its logits' mean over the patterns (section 3.3 there).
No new head, so few labels go far where the words fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isoflop.adaptation.batches import TextBatches
from isoflop.adaptation.few_labels.cloze import ClozeModel, Patterns, patterns_of
from isoflop.adaptation.few_labels.template import Template, Verbalizer, template_of, verbalizer_of
from isoflop.adaptation.floor import fit_floor
from isoflop.adaptation.prediction import Guess, guesses, outputs
from isoflop.adaptation.pretrained import Pretrained, Tokenized, cut_notes
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.saved import TASK, check_filled, damaged, load_body, save_adapted
from isoflop.adaptation.split import TRAIN, Split
from isoflop.adaptation.table import read_labelled
from isoflop.adaptation.task import Files, Floor, Measured, Predictor
from isoflop.adaptation.tasks.classify import Classify, check_labels
from isoflop.errors import UserError
from isoflop.evaluation.classification import classification_scores
from isoflop.models.storage import read_info


@dataclass(frozen=True)
class Cloze:
    """A table with columns of texts and labels, templates with `{text}` and `{label}`, and the words of the labels."""

    template: tuple[str, ...] = ("{text} It was {label}.",)
    verbalizer: str | None = None
    text: str | None = None
    label: str | None = None
    name = "cloze"
    purpose = "to classify text by cloze questions"
    unit = "label"
    stacks = ("encoder", "decoder")

    def read(self, files: Files) -> Split:
        """Read the parts as for `classify`. Raises `UserError` also for a template or words that can't be."""
        split = Classify(self.text, self.label).read(files)
        self.asking(split.labels)
        return replace(split, task=self)

    def trial(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> ClozeTrial:
        """What the engine trains."""
        return ClozeTrial(pretrained, split, recipe, self.asking(split.labels))

    def asking(self, labels: Sequence[str]) -> tuple[tuple[Template, ...], Verbalizer]:
        """Templates and words as they are meant. Raises `UserError` for some that can't be."""
        return tuple(map(template_of, self.template)), verbalizer_of(self.verbalizer, labels)

    def examine(self, predictor: Any, table: Path) -> Measured:
        """Labels and their probabilities, and how right they are, on another table."""
        part = read_labelled(table, text=self.text, label=self.label)
        check_labels(part, predictor.labels, None)
        found = _probabilities(predictor.model, predictor.patterns.tokens(part.texts))
        return _measured(found, part.labels, predictor.labels)

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Predictor:
        """The model in `folder`."""
        try:
            templates = tuple(map(Template, record["templates"]))
            words = Verbalizer(tuple(record["labels"]), tuple(map(tuple, record["words"])))
            longest = int(record["longest"])
        except (KeyError, TypeError, ValueError, UserError):
            raise damaged(folder / TASK) from None
        body, tokenizer = load_body(folder)
        patterns = patterns_of(tokenizer, read_info(folder), (templates, words), longest=longest)
        return ClozeClassifier(ClozeModel(body, patterns), patterns, words.labels)


@dataclass(frozen=True)
class ClozeClassifier:
    """A model that answers cloze questions, how it is asked, and the names of the labels."""

    model: ClozeModel
    patterns: Patterns
    labels: tuple[str, ...]
    inputs = ("text",)

    def predict(self, texts: Sequence[str]) -> list[Guess]:
        """The likeliest label of each text. Raises `UserError` for a text that is empty."""
        check_filled([(text,) for text in texts])
        if not texts:
            return []
        return guesses(_probabilities(self.model, self.patterns.tokens(texts)), self.labels)

    def rows(self, examples: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Label, its probability and the text."""
        texts = [text for (text,) in examples]
        told = zip(texts, self.predict(texts), strict=True)
        return [(guess.label, f"{guess.probability:.6f}", text) for text, guess in told]


class ClozeTrial:
    """A `ClozeModel` on a table's texts."""

    def __init__(
        self, pretrained: Pretrained, split: Split, recipe: Recipe, asking: tuple[tuple[Template, ...], Verbalizer]
    ) -> None:
        self.pretrained, self.split = pretrained, split
        templates, words = asking
        longest = recipe.tokens_of(pretrained.model.shape.context)
        patterns = patterns_of(pretrained.tokenizer, pretrained.info, asking, longest=longest)
        self.tokens = {name: patterns.tokens(part.texts) for name, part in split.parts.items()}
        self.model = ClozeModel(pretrained.model, patterns)
        answers = split.answers(TRAIN) * len(patterns)
        self.batches = TextBatches(self.tokens[TRAIN], answers, recipe.batch, recipe.seed)
        self.epoch_tokens = sum(map(len, self.tokens[TRAIN].sequences))
        self.notes = cut_notes(self.tokens, longest)
        forms = tuple(one.form for one in templates)
        self.facts = {"labels": split.labels, "words": words.words, "templates": forms, "longest": longest}
        told = ", ".join(f"{label}: {' or '.join(one)}" for label, one in zip(words.labels, words.words, strict=True))
        self.about = (*(f"Template: {form!r}" for form in forms), f"Words of labels: {told}")

    def measure(self, part: str, *, is_last: bool) -> Measured:
        """Labels and their probabilities, and how right they are."""
        del is_last
        found = _probabilities(self.model, self.tokens[part])
        return _measured(found, self.split.parts[part].labels, self.split.labels)

    def floor(self) -> Floor | None:
        """Counted words."""
        return fit_floor(self.split)

    def save(self, folder: Path) -> None:
        """Write the model, whose head is its own."""
        save_adapted(folder, self.model.body, {}, info=self.pretrained.info, record={"task": "cloze", **self.facts})


def _measured(found: NDArray[np.float64], answers: Sequence[str], labels: tuple[str, ...]) -> Measured:
    told = guesses(found, labels)
    rows = [(label, one.label, f"{one.probability:.6f}") for label, one in zip(answers, told, strict=True)]
    numbers = [labels.index(label) for label in answers]
    return Measured(classification_scores(found, numbers, labels=labels), ("label", "predicted", "probability"), rows)


def _probabilities(model: ClozeModel, questions: Tokenized) -> NDArray[np.float64]:
    """The probability of every label for each text (N, K), of the questions that all patterns ask (P·N)."""
    logits_QK = torch.empty((len(questions), len(model.sizes)), dtype=torch.float64)
    for chosen, logits in outputs(model, questions):
        logits_QK[chosen] = logits[:, 0].double().cpu()
    return torch.softmax(logits_QK.unflatten(0, (model.patterns, -1)).mean(dim=0), dim=-1).numpy()
