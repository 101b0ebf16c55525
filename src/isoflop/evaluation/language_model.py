"""A language model to be measured: read from a folder of ours, of Hugging Face, or a GGUF file, with its tokenizer."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from isoflop.errors import UserError
from isoflop.models import ModelInfo, from_hugging_face, load_model
from isoflop.models.hugging_face_stock import gguf_files, load_stock_decoder
from isoflop.models.hugging_face_tokenizer import SpecialTokens
from isoflop.models.storage import read_json_object, read_tokenizer

LEAST_SHARE = 0.9
"""A tokenizer that knows fewer of the model's tokens than this is another model's."""
HEADS = ("ForMaskedLM", "ForPreTraining")
"""How the classes of encoders end whose checkpoints have a head for masked tokens."""


@dataclass(frozen=True)
class LanguageModel:
    """A model in float32 on the CPU that gives logits (B, T, V) of a `Batch`, and how it reads text.

    `start` is the token that the first one of a text is predicted from (None: there is none); an encoder has `marks`
    instead. `facts` say which model it is; `notes` are for the user.
    """

    module: nn.Module
    tokenizer: Tokenizer
    context: int
    vocab: int
    start: int | None
    marks: Marks | None
    facts: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Marks:
    """Tokens of a masked language model: what hides a token, and what stands before and behind a text."""

    mask: int
    before: tuple[int, ...]
    after: tuple[int, ...]


def read_language_model(path: Path) -> LanguageModel:
    """The model in a folder or a GGUF file; through transformers where no class of ours computes it.

    Raises `UserError` where there is none, where it is no language model, and for a tokenizer that is another model's.
    """
    if path.is_file() and path.suffix == ".gguf":
        return _through_transformers(path)
    if not path.is_dir():
        raise UserError(f"There is no folder or GGUF file {path}: name a trained model or a Hugging Face checkpoint.")
    ours = path / "model" if (path / "model" / "model.json").exists() else path
    if (ours / "model.json").exists():
        model, info = load_model(ours)
        return _of_ours(model, info, ours, ())
    if gguf_files(path) and not (path / "config.json").exists():
        return _through_transformers(path)
    return _from_checkpoint(path)


def _from_checkpoint(folder: Path) -> LanguageModel:
    names = read_json_object(folder / "config.json").get("architectures") or [""]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model, info = from_hugging_face(folder)
    except UserError as reason:
        return _through_transformers(folder, reason)
    if info.shape.stack == "encoder" and not names[0].endswith(HEADS):
        raise UserError(
            f"{folder} is a {names[0]}, which has no head that names tokens: it gives no text a probability."
        )
    return _of_ours(model, info, folder, tuple(str(one.message) for one in caught))


def _of_ours(model: nn.Module, info: ModelInfo, folder: Path, notes: tuple[str, ...]) -> LanguageModel:
    shape = info.shape
    if shape.stack == "encoder_decoder":
        raise UserError(
            f"{folder} is an encoder-decoder, which gives a text a probability only for a source beside it."
        )
    if info.tokenizer is None or not info.tokenizer.exists():
        raise UserError(f"{folder} has no tokenizer.json, and a text can't be read without the model's own tokenizer.")
    tokenizer = _fitting(read_tokenizer(info.tokenizer, shape), shape.vocab, folder)
    is_encoder = shape.stack == "encoder"
    return LanguageModel(
        module=model.eval(),
        tokenizer=tokenizer,
        context=shape.context,
        vocab=shape.vocab,
        start=None if is_encoder else _start(folder, tokenizer),
        marks=_marks(tokenizer, folder) if is_encoder else None,
        facts=_facts(folder, type(model).__name__, model, tokenizer),
        notes=notes,
    )


def _through_transformers(path: Path, reason: UserError | None = None) -> LanguageModel:
    """`reason` is why no class of ours could read the checkpoint."""
    try:
        stock = load_stock_decoder(path)
    except UserError as error:
        raise UserError(f"{reason} {error}" if reason else str(error)) from error
    tokenizer = _fitting(stock.tokenizer, stock.vocab, path)
    kind = type(stock.model).__name__
    return LanguageModel(
        module=stock,
        tokenizer=tokenizer,
        context=stock.context,
        vocab=stock.vocab,
        start=stock.start,
        marks=None,
        facts=_facts(path, kind, stock, tokenizer),
        notes=(f"The model is computed by transformers ({kind}).",),
    )


def _fitting(tokenizer: Tokenizer, vocab: int, folder: Path) -> Tokenizer:
    size = tokenizer.get_vocab_size()
    if not LEAST_SHARE * vocab <= size <= vocab:
        raise UserError(
            f"The tokenizer in {folder} has {size:,} tokens and the model {vocab:,}: it is another model's."
        )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _start(folder: Path, tokenizer: Tokenizer) -> int | None:
    """The beginning-of-text token, else the end-of-text token, as the checkpoint names them."""
    named: list[Any] = []
    if (folder / "tokenizer_config.json").exists():
        settings = read_json_object(folder / "tokenizer_config.json")
        named = [settings.get(role) for role in ("bos_token", "eos_token")]
    texts = [one.get("content") if isinstance(one, dict) else one for one in named if one]
    numbers = [tokenizer.token_to_id(str(text)) for text in texts]
    special = SpecialTokens.of(tokenizer)
    numbers += [special.number("bos"), special.number("eos")]
    return next((number for number in numbers if number is not None), None)


def _marks(tokenizer: Tokenizer, folder: Path) -> Marks:
    special = SpecialTokens.of(tokenizer)
    mask = special.number("mask")
    if mask is None:
        raise UserError(f"The tokenizer in {folder} has no token that hides another ([MASK]): nothing can be masked.")
    around = tokenizer.encode("a", add_special_tokens=True)
    at = [place for place, is_special in enumerate(around.special_tokens_mask) if not is_special]
    if 0 < len(at) < len(around.ids):
        return Marks(mask, tuple(around.ids[: at[0]]), tuple(around.ids[at[-1] + 1 :]))
    first, last = special.number("cls"), special.number("sep")  # as in pretraining, where text is tokenised bare
    return Marks(mask, () if first is None else (first,), () if last is None else (last,))


def _facts(path: Path, kind: str, model: nn.Module, tokenizer: Tokenizer) -> dict[str, Any]:
    files = [path] if path.is_file() else sorted((*path.glob("*.safetensors"), *gguf_files(path)))
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return {
        "path": str(path.resolve()),
        "class": kind,
        "params": sum(weight.numel() for weight in model.parameters()),
        "weights_hash": digest.hexdigest()[:16],
        "tokenizer_hash": hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:16],
    }
