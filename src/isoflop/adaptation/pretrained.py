"""The model that is adapted: a folder of ours or of Hugging Face, with a tokenizer that fits it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from isoflop.adaptation.hub import model_folder
from isoflop.errors import UserError
from isoflop.models import Model, ModelInfo, from_hugging_face, load_model
from isoflop.models.adapter import is_adapted
from isoflop.models.opening import fitting_tokenizer
from isoflop.models.storage import BODY

MEASURED = 1_000_000
ENCODED_AT_ONCE = 1000
"""Texts that the tokenizer gets together: what it says of them is a hundred times as large as their numbers."""


@dataclass(frozen=True)
class Pretrained:
    """A trained model, what is known of it, its tokenizer without settings of length, and notes for the user."""

    model: Model
    info: ModelInfo
    tokenizer: Tokenizer
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Tokenized:
    """Token numbers of each text, how many texts were cut at the longest length, and of pairs which tokens are of the
    second text (1, else 0)."""

    sequences: Sequence[Sequence[int] | NDArray[np.int32]]
    cut: int
    segments: Sequence[NDArray[np.int8]] | None = None

    def __len__(self) -> int:
        return len(self.sequences)


def read_pretrained(folder: Path, *, stacks: Sequence[str] = ("encoder", "decoder")) -> Pretrained:
    """The model in `folder`, which may be a name on the Hub. Raises `UserError` for none, for none of the `stacks`, and
    for a tokenizer of another."""
    folder = model_folder(folder)
    ours = folder / "model" if (folder / "model" / "model.json").exists() else folder
    for place in (folder, folder / "model"):
        if is_adapted(place):
            raise UserError(f"{place} has an adapter beside its model: go on from {place / BODY}, which has none.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, info = load_model(ours) if (ours / "model.json").exists() else from_hugging_face(folder)
    if info.shape.stack not in stacks:
        kind, able = (" or ".join(names).replace("_", "-") for names in ([info.shape.stack], stacks))
        raise UserError(f"The model in {folder} is of the kind {kind}, and this task needs one of the kind {able}.")
    assert isinstance(model, Model)
    tokenizer = fitting_tokenizer(info, folder)
    return Pretrained(model, replace(info, shape=model.shape), tokenizer, tuple(str(one.message) for one in caught))


def tokenize(tokenizer: Tokenizer, texts: Sequence[str] | Sequence[tuple[str, str]], *, longest: int) -> Tokenized:
    """Token numbers with the special tokens that the tokenizer adds; what is beyond `longest` is cut at the end, of a
    pair at the end of the longer text.

    Raises `UserError` for a text that has no token at all.
    """
    sequences, segments, cut = [], [], 0
    tokenizer.enable_truncation(longest)
    for start in range(0, len(texts), ENCODED_AT_ONCE):
        some = texts[start : start + ENCODED_AT_ONCE]
        for text, encoding in zip(some, tokenizer.encode_batch(list(some)), strict=True):
            sides = (text,) if isinstance(text, str) else text
            empty = set(range(len(sides))) - set(encoding.sequence_ids)
            if empty:
                raise no_token(sides[empty.pop()])
            sequences.append(np.asarray(encoding.ids, dtype=np.int32))
            segments.append(np.asarray(encoding.type_ids, dtype=np.int8))
            cut += bool(encoding.overflowing)
    tokenizer.no_truncation()
    has_pairs = bool(texts) and not isinstance(texts[0], str)
    return Tokenized(sequences, cut, segments if has_pairs else None)


def tokens_per_byte(tokenizer: Tokenizer, texts: Iterable[str]) -> float:
    """Tokens, without special ones, to a byte of UTF-8; of long data measured on the first million characters."""
    some, letters = list[str](), 0
    for text in texts:
        some.append(text[: MEASURED - letters])
        letters += len(some[-1])
        if letters == MEASURED:
            break
    tokens = sum(len(one.ids) for one in tokenizer.encode_batch(some, add_special_tokens=False))
    return tokens / sum(len(text.encode()) for text in some)


def no_token(text: str) -> UserError:
    """What to raise for a text that the tokenizer makes nothing of."""
    return UserError(f"The text {text[:40]!r} has no token in the model's vocabulary: delete it or mend it.")


def cut_notes(tokens: Mapping[str, Tokenized], longest: int) -> tuple[str, ...]:
    """What to say of texts that were cut, part by part."""
    return tuple(
        f"{one.cut} of the {len(one):,} texts of {name} are longer than {longest} tokens: their ends were cut."
        for name, one in tokens.items()
        if one.cut
    )
