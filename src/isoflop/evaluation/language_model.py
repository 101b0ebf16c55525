"""A language model to be measured: read from a folder of ours, of Hugging Face, or a GGUF file, with its tokenizer."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from tokenizers import Tokenizer
from torch import Tensor, nn

from isoflop.errors import UserError
from isoflop.models import Batch, ModelInfo, from_hugging_face, load_model
from isoflop.models.hugging_face_tokenizer import SpecialTokens
from isoflop.models.opening import fitting, fitting_tokenizer
from isoflop.models.storage import read_json_object
from isoflop.models.through_transformers import gguf_of, read_stock

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


@final
class StockModel(nn.Module):
    """A causal model of transformers that reads a `Batch`."""

    def __init__(self, stock: nn.Module) -> None:
        super().__init__()
        self.stock = stock

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, T, V); padding stands at the end, where nothing that is measured sees it."""
        return self.stock(input_ids=batch.inputs, use_cache=False).logits


def read_language_model(path: Path) -> LanguageModel:
    """The model in a folder or a GGUF file; through transformers where no class of ours computes it.

    Raises `UserError` where there is none, where it is no language model, and for a tokenizer that is another model's.
    """
    gguf = gguf_of(path)
    if gguf is not None:
        return _through_transformers(gguf.parent, gguf.name)
    if not path.is_dir():
        raise UserError(f"There is no folder or GGUF file {path}: name a trained model or a Hugging Face checkpoint.")
    ours = path / "model" if (path / "model" / "model.json").exists() else path
    if (ours / "model.json").exists():
        model, info = load_model(ours)
        return _of_ours(model, info, ours, ())
    return _from_checkpoint(path)


def _from_checkpoint(folder: Path) -> LanguageModel:
    names = read_json_object(folder / "config.json").get("architectures") or [""]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model, info = from_hugging_face(folder)
    except UserError as reason:
        return _through_transformers(folder, None, reason)
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
    tokenizer = fitting_tokenizer(info, folder)
    is_encoder = shape.stack == "encoder"
    return LanguageModel(
        module=model.eval(),
        tokenizer=tokenizer,
        context=shape.context,
        vocab=shape.vocab,
        start=None if is_encoder else _start(folder, tokenizer),
        marks=marks_of(tokenizer, folder) if is_encoder else None,
        facts=_facts(folder, type(model).__name__, model, tokenizer),
        notes=notes,
    )


def _through_transformers(folder: Path, gguf: str | None, reason: UserError | None = None) -> LanguageModel:
    """`reason` is why the importer of ours could not read the checkpoint."""
    try:
        stock, tokenizer = read_stock(folder, gguf)
    except UserError as error:
        raise error if reason is None else UserError(f"{reason} And by transformers: {error}") from error
    bpe = getattr(tokenizer, "backend_tokenizer", None)
    if bpe is None:
        raise UserError(
            f"The tokenizer in {folder} does not say where its tokens stand in the text (no tokenizer.json)."
        )
    config = stock.config.get_text_config()
    bpe = fitting(bpe, config.vocab_size, source=f"The tokenizer in {folder}")
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return LanguageModel(
        module=StockModel(stock).eval(),
        tokenizer=bpe,
        context=getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 2048,
        vocab=config.vocab_size,
        start=start,
        marks=None,
        facts=_facts(folder / gguf if gguf else folder, type(stock).__name__, stock, bpe),
        notes=(f"The model is computed by transformers ({type(stock).__name__}).",),
    )


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


def marks_of(tokenizer: Tokenizer, folder: Path) -> Marks:
    """The tokens by which an encoder's text is hidden and framed. Raises `UserError` where nothing hides a token."""
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
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
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
