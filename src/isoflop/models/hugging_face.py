"""To a stock checkpoint of Hugging Face, and from one: config.json, model.safetensors, the tokenizer.

Neither way needs transformers, and nothing that is read is a pickle. Multipliers are already in the weights
(docs/decisions/0002); what is left to fold here is the scale of the attention logits, and what a class adds of its own.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from isoflop.errors import UserError
from isoflop.files import write_json
from isoflop.models.build import STACKS
from isoflop.models.encoder import BEHIND_THE_STATES
from isoflop.models.hugging_face_bert import BERT, BERT_BODY
from isoflop.models.hugging_face_class import Config, StockClass, choose, read
from isoflop.models.hugging_face_gpt2 import GPT2
from isoflop.models.hugging_face_llama import LLAMA, QWEN2
from isoflop.models.hugging_face_rows import to_ours, to_theirs, unread
from isoflop.models.hugging_face_starcoder import STARCODER
from isoflop.models.hugging_face_t5 import T5
from isoflop.models.hugging_face_tokenizer import SpecialTokens, write_tokenizer
from isoflop.models.parametrization import SP
from isoflop.models.parametrization import logit_scale as logit_scale_of
from isoflop.models.storage import (
    TOKENIZER,
    ModelInfo,
    logit_scale,
    put_weights,
    read_json_object,
    read_weights,
    write_weights,
)
from isoflop.models.through_transformers import refuse_gguf
from isoflop.shapes import ModelShape

EXPORTED: Sequence[StockClass] = (*LLAMA, STARCODER, GPT2, *BERT, T5)
"""In the order in which export tries them."""
IMPORTED: Sequence[StockClass] = (*EXPORTED, QWEN2, BERT_BODY)
NOT_WEIGHTS = re.compile(r"rotary_emb\.inv_freq$|\.attn\.(masked_)?bias$|position_ids$")
"""Constants that older versions of transformers stored with the weights."""


@dataclass(frozen=True)
class StockHead:
    """What a stock class for a task has in place of the head for words: how its name ends ("Model", which has none,
    "ForTokenClassification"), the head's weights by their names, and fields of config.json."""

    ending: str
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


def to_hugging_face(
    model: nn.Module, folder: Path, *, tokenizer: Path | None = None, head: StockHead | None = None
) -> StockClass:
    """Write `model` to `folder` as a checkpoint that transformers loads as it is; returns the class it became.

    `tokenizer` is the path of a tokenizer.json. With a `head`, which encoders of BERT's kind can have, the model's own
    is left out. config.json comes last, so a folder that has one is whole. Raises `UserError`, with the switch that
    prevents it, for a model that no stock class computes.
    """
    shape = model.shape
    assert isinstance(shape, ModelShape)
    stock = choose(shape, EXPORTED) if head is None else _with_head(shape, head)
    config = stock.config(shape)
    factors = stock.factors(shape, logit_scale(model), config)
    weights, rows = _weights_of(model, shape), stock.rows(shape)
    if head is not None:
        weights = {name: weight for name, weight in weights.items() if name.split(".")[0] not in BEHIND_THE_STATES}
        rows = stock.rows(replace(shape, transform=False))
    theirs = to_theirs(weights, rows, shape=shape, factors=factors)
    if head is not None:
        prefix = "" if head.weights else stock.prefix  # which a class without a head has not
        theirs = {**{name.removeprefix(prefix): weight for name, weight in theirs.items()}, **head.weights}
    tokens = write_tokenizer(folder, tokenizer, shape)
    write_weights(folder / "model.safetensors", theirs)
    numbers = _token_numbers(tokens, shape)
    if head is None:
        write_json(folder / "generation_config.json", _for_generation(numbers))
    write_json(folder / "config.json", _config(stock, config, numbers) | dict(head.fields if head else {}))
    return stock


def is_bert(shape: ModelShape) -> bool:
    """Whether a class of BERT's kind computes the states of `shape`, whatever head it has."""
    return shape.stack == "encoder" and any(not one.obstacles(_plain(shape)) for one in BERT)


def _plain(shape: ModelShape) -> ModelShape:
    """With the head that every class of BERT's kind can have."""
    return replace(shape, transform=True, pooler=False)


def _with_head(shape: ModelShape, head: StockHead) -> StockClass:
    found = choose(_plain(shape), BERT)
    return replace(found, name=found.name.replace("ForMaskedLM", head.ending))


def from_hugging_face(folder: Path) -> tuple[nn.Module, ModelInfo]:
    """The model in a Hugging Face checkpoint, in float32 under standard parametrisation, and what is known of it.

    Raises `UserError` for a class or a feature that no model here has, and for a checkpoint that is not whole.
    """
    refuse_gguf(folder)
    config = read_json_object(folder / "config.json")
    stock = _class_of(config)
    theirs = _once(_with_prefix(_read_all(folder), stock), stock)
    shape = _shape_of(stock, config, theirs, folder)
    rows = stock.rows(shape)
    strange = unread(theirs, rows, shape=shape)
    if strange:
        raise UserError(f"The checkpoint in {folder} has the weight {strange[0]}, which no {stock.name} here has.")
    model = STACKS[shape.stack](shape, logit_scale=logit_scale_of(shape, SP))
    factors = stock.factors(shape, logit_scale(model), config)
    ours = to_ours(theirs, rows, shape=shape, factors=factors, wanted=dict(model.named_parameters()))
    if shape.tied:
        _drop_tied_head(ours, folder)
    put_weights(model, ours, source=folder)
    tokenizer = folder / TOKENIZER
    return model, ModelInfo(shape, SP.name, None, stock.objective, tokenizer if tokenizer.exists() else None)


def _weights_of(model: nn.Module, shape: ModelShape) -> dict[str, Tensor]:
    """The model's weights by name, and the sines where a class has a table of positions for them."""
    weights: dict[str, Tensor] = dict(model.named_parameters())
    if shape.positions == "sinusoidal":
        weights["position_table.weight"] = model.get_buffer("sinusoid_TD")
    return {name: weight.detach().float().cpu() for name, weight in weights.items()}


def _class_of(config: Config) -> StockClass:
    names = config.get("architectures") or []
    for stock in IMPORTED:
        if stock.name in names or (not names and stock.model_type == config.get("model_type")):
            return stock
    known = ", ".join(stock.name for stock in IMPORTED)
    called = names[0] if names else f"model_type {config.get('model_type')!r}"
    raise UserError(f"The checkpoint is a {called}, and only these can be read: {known}.")


def _shape_of(stock: StockClass, config: Config, weights: dict[str, Tensor], folder: Path) -> ModelShape:
    try:
        return stock.shape(config, weights)
    except UserError:
        raise
    except (TypeError, ValueError, ArithmeticError, KeyError) as error:
        raise UserError(f"{folder / 'config.json'} has a field of the wrong kind ({error}): it is damaged.") from error


def _read_all(folder: Path) -> dict[str, Tensor]:
    """The weights of model.safetensors, or of all the files that its index names."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    files = [whole]
    if not whole.exists() and index.exists():
        files = [folder / Path(name).name for name in sorted(set(read(read_json_object(index), "weight_map").values()))]
    elif not whole.exists():
        raise UserError(f"{folder} has no model.safetensors, and weights in another form (a pickle) are not read.")
    weights = {name: weight for file in files for name, weight in read_weights(file).items()}
    return {name: weight for name, weight in weights.items() if not NOT_WEIGHTS.search(name)}


def _with_prefix(weights: dict[str, Tensor], stock: StockClass) -> dict[str, Tensor]:
    """The names of the class with its head, for a checkpoint of the class without it."""
    if not stock.prefix or any(name.startswith(stock.prefix) for name in weights):
        return weights
    return {f"{stock.prefix}{name}": weight for name, weight in weights.items()}


def _once(weights: dict[str, Tensor], stock: StockClass) -> dict[str, Tensor]:
    """The weights without those that are there a second time, and, with a warning, without those that nothing reads."""
    for name, first in stock.copies.items():
        if name in weights and first in weights and weights[name].equal(weights[first]):
            del weights[name]
    left_out = [name for name in weights if stock.leaves and name.startswith(stock.leaves)]
    if left_out:
        warnings.warn(f"{', '.join(left_out)} of the {stock.name} were left out: nothing reads them.", stacklevel=3)
    return {name: weight for name, weight in weights.items() if name not in left_out}


def _drop_tied_head(weights: dict[str, Tensor], folder: Path) -> None:
    head = weights.pop("head.weight", None)
    if head is not None and not head.equal(weights["embedding.weight"]):
        raise UserError(f"The checkpoint in {folder} says that it ties its head to the embedding, but the two differ.")


def _config(stock: StockClass, config: Config, numbers: dict[str, int | None]) -> dict[str, object]:
    return {
        "architectures": [stock.name],
        "model_type": stock.model_type,
        "dtype": "float32",
        **config,
        **numbers,
    }


def _token_numbers(tokens: SpecialTokens, shape: ModelShape) -> dict[str, int | None]:
    """As the objectives here use them: what a decoder that reads an encoder begins with is padding, as in T5."""
    numbers = {f"{role}_token_id": tokens.number(role) for role in ("bos", "eos", "pad")}
    if shape.stack == "encoder_decoder":
        numbers["decoder_start_token_id"] = tokens.number("pad")
    return numbers


def _for_generation(numbers: dict[str, int | None]) -> dict[str, int]:
    """Without a padding token of its own a model pads by the end mark, as GPT-2 does."""
    found = {name: number for name, number in numbers.items() if number is not None}
    if "eos_token_id" in found:
        found.setdefault("pad_token_id", found["eos_token_id"])
    return found
