"""A trained model from whatever folder a person names: ours, the run that it came from, a Hugging Face checkpoint."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer

from isoflop.errors import UserError
from isoflop.models.adapter import is_adapted, load_body
from isoflop.models.hugging_face import from_hugging_face
from isoflop.models.model import Model
from isoflop.models.storage import MODEL, ModelInfo, read_tokenizer

LEAST_SHARE = 0.9
"""A tokenizer that knows fewer of the model's tokens than this is another model's: a table of embeddings is rounded up
by some rows, not by a tenth."""


@dataclass(frozen=True)
class Opened:
    """A trained model, what is known of it, its tokenizer without settings of length, and notes for the user."""

    folder: Path
    """Where its files are."""
    model: Model
    info: ModelInfo
    tokenizer: Tokenizer
    notes: tuple[str, ...]


def open_model(folder: Path) -> Opened:
    """The model in `folder`, or in the folder `model` of it, with the prompt or the prefixes that belong to it. Raises
    `UserError` where there is none, or no tokenizer that fits it."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: name a trained model of isoflop or a Hugging Face checkpoint.")
    inside = folder / "model"
    place = inside if _is_ours(inside) else folder
    if not _is_ours(place) and not (place / "config.json").exists():
        raise UserError(f"{folder} has neither {MODEL} nor config.json: name the folder of a trained model.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, info = load_body(place) if _is_ours(place) else from_hugging_face(place)
    assert isinstance(model, Model)
    notes = tuple(str(one.message) for one in caught)
    return Opened(place, model.eval(), replace(info, shape=model.shape), fitting_tokenizer(info, folder), notes)


def _is_ours(folder: Path) -> bool:
    return (folder / MODEL).exists() or is_adapted(folder)


def fitting_tokenizer(info: ModelInfo, folder: Path) -> Tokenizer:
    """The tokenizer of the model in `folder`, as long as texts are. Raises `UserError` for none, or another model's."""
    if info.tokenizer is None or not info.tokenizer.exists():
        raise UserError(f"{folder} has no tokenizer.json, and a text can't be read without the model's own tokenizer.")
    return fitting(read_tokenizer(info.tokenizer, info.shape), info.shape.vocab, source=str(info.tokenizer))


def fitting(tokenizer: Tokenizer, vocab: int, *, source: str) -> Tokenizer:
    """The tokenizer from `source` without settings of length. Raises `UserError` where a model of `vocab` tokens was
    trained with another."""
    size = tokenizer.get_vocab_size()
    if not LEAST_SHARE * vocab <= size <= vocab:
        raise UserError(f"{source} has {size:,} tokens and the model {vocab:,}: it is another model's.")
    # A tokenizer.json may carry lengths of its own (128 in all-MiniLM-L6-v2), and would cut and pad in silence.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
