"""One label for each text, told by the word that the pretrained model's own head puts into a template.

Pattern-exploiting training's first step (Schick and Schütze 2020, arXiv 2001.07676): one pattern, fine-tuned; no new
head, so few labels go far where the words fit.
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
from isoflop.adaptation.few_labels.cloze import ClozeModel, Questions, questions_of, word_tokens
from isoflop.adaptation.few_labels.template import Template, Verbalizer, template_of, verbalizer_of
from isoflop.adaptation.floor import fit_floor
from isoflop.adaptation.prediction import Guess, guesses, outputs
from isoflop.adaptation.pretrained import Pretrained, Tokenized, cut_notes
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.saved import TASK, check_filled, damaged, load_body, save_adapted
from isoflop.adaptation.split import TRAIN, Split
from isoflop.adaptation.task import Files, Floor, Measured, Predictor
from isoflop.adaptation.tasks.classify import Classify
from isoflop.errors import UserError
from isoflop.evaluation.classification import classification_scores
from isoflop.models.storage import read_info


@dataclass(frozen=True)
class Cloze:
    """A table with a column of texts and one of labels, a template with `{text}` and `{label}`, and labels' words."""

    template: str = "{text} It was {label}."
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
        template_of(self.template)
        verbalizer_of(self.verbalizer, split.labels)
        return replace(split, task=self)

    def trial(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> ClozeTrial:
        """What the engine trains."""
        words = verbalizer_of(self.verbalizer, split.labels)
        return ClozeTrial(pretrained, split, recipe, (template_of(self.template), words))

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Predictor:
        """The model in `folder`."""
        try:
            template = Template(record["template"])
            words = Verbalizer(tuple(record["labels"]), tuple(map(tuple, record["words"])))
            longest = int(record["longest"])
        except (KeyError, TypeError, ValueError, UserError):
            raise damaged(folder / TASK) from None
        body, tokenizer = load_body(folder)
        questions = questions_of(tokenizer, read_info(folder), template, longest=longest)
        model = ClozeModel(body, word_tokens(tokenizer, template, words), questions.asked)
        return ClozeClassifier(model, questions, words.labels)


@dataclass(frozen=True)
class ClozeClassifier:
    """A model that answers cloze questions, how it is asked, and the names of the labels."""

    model: ClozeModel
    questions: Questions
    labels: tuple[str, ...]
    inputs = ("text",)

    def predict(self, texts: Sequence[str]) -> list[Guess]:
        """The likeliest label of each text. Raises `UserError` for a text that is empty."""
        check_filled([(text,) for text in texts])
        if not texts:
            return []
        return guesses(_probabilities(self.model, self.questions.tokens(texts)), self.labels)

    def rows(self, examples: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Label, its probability and the text."""
        texts = [text for (text,) in examples]
        told = zip(texts, self.predict(texts), strict=True)
        return [(guess.label, f"{guess.probability:.6f}", text) for text, guess in told]


class ClozeTrial:
    """A `ClozeModel` on a table's texts."""

    def __init__(
        self, pretrained: Pretrained, split: Split, recipe: Recipe, asking: tuple[Template, Verbalizer]
    ) -> None:
        self.pretrained, self.split = pretrained, split
        template, words = asking
        body, tokenizer = pretrained.model, pretrained.tokenizer
        longest = recipe.tokens_of(body.shape.context)
        questions = questions_of(tokenizer, pretrained.info, template, longest=longest)
        self.tokens = {name: questions.tokens(part.texts) for name, part in split.parts.items()}
        self.model = ClozeModel(body, word_tokens(tokenizer, template, words), questions.asked)
        self.batches = TextBatches(self.tokens[TRAIN], split.answers(TRAIN), recipe.batch, recipe.seed)
        self.epoch_tokens = sum(map(len, self.tokens[TRAIN].sequences))
        self.notes = cut_notes(self.tokens, longest)
        self.facts = {"labels": split.labels, "words": words.words, "template": template.form, "longest": longest}
        told = ", ".join(f"{label}: {' or '.join(one)}" for label, one in zip(words.labels, words.words, strict=True))
        self.about = (f"Template: {template.form!r}", f"Words of labels: {told}")

    def measure(self, part: str, *, is_last: bool) -> Measured:
        """Labels and their probabilities, and how right they are."""
        del is_last
        found = _probabilities(self.model, self.tokens[part])
        told = guesses(found, self.split.labels)
        rows = [
            (label, guess.label, f"{guess.probability:.6f}")
            for label, guess in zip(self.split.parts[part].labels, told, strict=True)
        ]
        scores = classification_scores(found, self.split.answers(part), labels=self.split.labels)
        return Measured(scores, ("label", "predicted", "probability"), rows)

    def floor(self) -> Floor | None:
        """Counted words."""
        return fit_floor(self.split)

    def save(self, folder: Path) -> None:
        """Write the model, whose head is its own."""
        save_adapted(folder, self.model.body, {}, info=self.pretrained.info, record={"task": "cloze", **self.facts})


def _probabilities(model: ClozeModel, texts: Tokenized) -> NDArray[np.float64]:
    """The probability of every label for each text: (N, K)."""
    found = np.empty((len(texts), len(model.sizes)))
    for chosen, logits in outputs(model, texts):
        found[chosen] = torch.softmax(logits[:, 0].double(), dim=-1).cpu().numpy()
    return found
