"""A model to begin with where there is none: first weights of a shape, and a tokenizer of the training texts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from isoflop.adaptation.split import TRAIN, Split, strings_in
from isoflop.data import TokenizerConfig, objective, with_special_tokens
from isoflop.data.tokens import train_tokenizer
from isoflop.files import write_text
from isoflop.models import build_model, parametrization, save_model
from isoflop.models.storage import MODEL, TOKENIZER
from isoflop.settings import read_toml, settings_of
from isoflop.shapes import ModelShape

OBJECTIVES = {"decoder": "causal", "encoder": "masked", "encoder_decoder": "pairs"}
PARAMETRIZATION = "sp"


@dataclass(frozen=True)
class Beginning:
    """What a file of a shape says."""

    shape: ModelShape
    schema: int = 1
    train: dict[str, object] = field(default_factory=dict)
    """Of a plan, which such a file may be; nothing here reads it."""


def is_shape(model: Path) -> bool:
    """Whether what was named as a model is the file of a shape."""
    return model.suffix == ".toml"


def first_model(file: Path, split: Split, folder: Path, *, seed: int) -> Path:
    """Make the model of the `[shape]` in `file` in `folder`, unless it is there already; returns the folder.

    Its byte-level BPE is trained on the texts and answers of train, both languages of a pair together, and takes the
    entries of `shape.vocab` that special tokens leave. Raises `UserError` for a shape that can't be.
    """
    if (folder / MODEL).exists():
        return folder
    shape = settings_of(Beginning, read_toml(file, what="shape file"), source=str(file)).shape
    chosen = objective(OBJECTIVES[shape.stack])
    specials = chosen.special_tokens(shape.context)
    train = split.parts[TRAIN]
    texts = [text for one in (train.texts, () if split.labels else train.labels) for text in strings_in(one)]
    tokenizer = train_tokenizer(iter(texts), TokenizerConfig(shape.vocab - len(specials)))
    tokenizer = with_special_tokens(tokenizer, specials)
    found = tokenizer.get_vocab_size()
    if found < shape.vocab:  # a short text has fewer merges than asked for: the table is no larger than it is used
        shape = dataclasses.replace(shape, vocab=found)
    table = parametrization(PARAMETRIZATION)
    model, _ = build_model(shape, table, base=shape, seed=seed)
    path = folder / f"{TOKENIZER}.made"
    write_text(path, tokenizer.to_str())
    save_model(folder, model, parametrization=table.name, base=None, objective=chosen.name, tokenizer=path)
    path.unlink()
    return folder
