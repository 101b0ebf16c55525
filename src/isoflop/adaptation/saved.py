"""A fine-tuned classifier as a folder: the model with its tokenizer, the head, the names of its labels, a card.

The folder is one of a trained model (`model.json`, `weights.safetensors`, `tokenizer.json`) with `classifier.json`,
`head.safetensors` and `README.md` beside, so whatever reads a trained model reads this one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from isoflop.adaptation.classifier import POOLINGS, Classifier
from isoflop.adaptation.methods import load_body, save_body
from isoflop.adaptation.prediction import Guess, guesses, probabilities
from isoflop.adaptation.pretrained import fitting_tokenizer, tokenize
from isoflop.errors import UserError
from isoflop.files import write_json, write_text
from isoflop.models import ModelInfo
from isoflop.models.storage import read_json_object, read_weights, write_weights

SCHEMA = 1
CLASSIFIER, HEAD, CARD = "classifier.json", "head.safetensors", "README.md"


@dataclass(frozen=True)
class TextClassifier:
    """A classifier with all that it needs to read text: tokenizer, names of labels, the longest text in tokens."""

    model: Classifier
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    longest: int

    def predict(self, texts: Sequence[str]) -> list[Guess]:
        """The likeliest label of each text. Raises `UserError` for a text that is empty."""
        empty = next((number for number, text in enumerate(texts, start=1) if not text.strip()), None)
        if empty is not None:
            raise UserError(f"Text {empty} is empty: there is nothing to classify.")
        if not texts:
            return []
        return guesses(probabilities(self.model, tokenize(self.tokenizer, texts, longest=self.longest)), self.labels)


def save_classifier(folder: Path, classifier: TextClassifier, *, info: ModelInfo, card: str) -> None:
    """Write `classifier`, whose pretrained model `info` describes; `classifier.json` comes last."""
    model = classifier.model
    save_body(folder, model.body, info)
    write_weights(folder / HEAD, {name: weight.detach().cpu() for name, weight in model.head.state_dict().items()})
    write_text(folder / CARD, card)
    record = {
        "schema": SCHEMA,
        "task": "classify",
        "labels": list(classifier.labels),
        "pooling": model.pooling,
        "longest": classifier.longest,
    }
    write_json(folder / CLASSIFIER, record)


def load_classifier(folder: Path) -> TextClassifier:
    """What `save_classifier` wrote to `folder` or its `model`. Raises `UserError` where it is missing or damaged."""
    if (folder / "model" / CLASSIFIER).exists():
        folder = folder / "model"
    if not (folder / CLASSIFIER).exists():
        raise UserError(f"{folder} has no {CLASSIFIER}: name a folder that isoflop finetune made.")
    record = read_json_object(folder / CLASSIFIER)
    labels, pooling, longest = record.get("labels"), record.get("pooling"), record.get("longest")
    if (
        record.get("schema") != SCHEMA
        or not isinstance(labels, list)
        or pooling not in POOLINGS
        or not isinstance(longest, int)
    ):
        raise UserError(f"{folder / CLASSIFIER} is damaged, or of another version of isoflop: fine-tune again.")
    body, info = load_body(folder)
    if info.tokenizer is None:
        raise UserError(f"{folder} has no tokenizer: it is damaged.")
    model = Classifier(body, len(labels), pooling=pooling)
    _put_head(model, folder)
    return TextClassifier(model, fitting_tokenizer(info), tuple(map(str, labels)), longest)


def _put_head(model: Classifier, folder: Path) -> None:
    weights = read_weights(folder / HEAD)
    wanted = {name: weight.shape for name, weight in model.head.state_dict().items()}
    if {name: weight.shape for name, weight in weights.items()} != wanted:
        raise UserError(f"{folder / HEAD} does not fit the labels and the model beside it: it is damaged.")
    with torch.no_grad():
        model.head.load_state_dict(weights)
