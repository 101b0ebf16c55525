"""A trained model as a folder: `model.json` (what it is), `weights.safetensors`, `tokenizer.json`.

Weights are float32 under the names of `module.named_parameters()`, so a tied head is there once, as the embedding.
Nothing here is a pickle, so a folder from a stranger can be read without running code of theirs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor, nn

from isoflop.errors import UserError
from isoflop.files import atomic_write, write_json, write_text
from isoflop.models.attention import Attention
from isoflop.models.build import STACKS
from isoflop.models.parametrization import logit_scale as logit_scale_of
from isoflop.models.parametrization import parametrization as parametrization_named
from isoflop.shapes import ModelShape

SCHEMA = 1
MODEL, WEIGHTS, TOKENIZER = "model.json", "weights.safetensors", "tokenizer.json"
ADAPTER, BODY = "adapter.safetensors", "body"
"""A prompt or prefixes, and the folder of the model that they belong to (see `adapter`)."""


@dataclass(frozen=True)
class ModelInfo:
    """What `model.json` says: shape, parametrisation with its base shape, the objective trained for, the tokenizer."""

    shape: ModelShape
    parametrization: str
    base: ModelShape | None
    """Where μP and CompleteP equal SP; None: the shape itself."""
    objective: str
    tokenizer: Path | None
    logit_scale: float | None = None
    """The factor on q·k, all of a parametrisation that is not in the weights; None: what its name says."""


def logit_scale(model: nn.Module) -> float:
    """The factor on q·k that `model` was built with."""
    return next(float(part.logit_scale) for part in model.modules() if isinstance(part, Attention))


def save_model(
    folder: Path,
    model: nn.Module,
    *,
    parametrization: str,
    base: ModelShape | None,
    objective: str,
    tokenizer: Path | None,
) -> None:
    """Write `model` (with its `shape`) and a copy of the `tokenizer.json` at `tokenizer` into `folder`.

    `model.json` comes last, so a folder that has one is whole. Raises `UserError` for a tokenizer with more tokens
    than the model, for weights that are not finite, and where the folder can't be written.
    """
    shape = model.shape
    assert isinstance(shape, ModelShape)
    parametrization_named(parametrization)
    weights = {name: tensor.detach().float().cpu().contiguous() for name, tensor in model.named_parameters()}
    bad = next((name for name, tensor in weights.items() if not tensor.isfinite().all()), None)
    if bad:
        raise UserError(f"The weight {bad} has values that are not finite: the run diverged, and was not saved.")
    text = None if tokenizer is None else read_tokenizer(tokenizer, shape).to_str()
    write_weights(folder / WEIGHTS, weights)
    if text is not None:
        write_text(folder / TOKENIZER, text)
    record = {
        "schema": SCHEMA,
        "shape": shape.to_dict(),
        "parametrization": parametrization,
        "base": None if base is None else base.to_dict(),
        "logit_scale": logit_scale(model),
        "objective": objective,
        "tokenizer": None if text is None else TOKENIZER,
    }
    write_json(folder / MODEL, record)


def load_model(folder: Path) -> tuple[nn.Module, ModelInfo]:
    """The model that `save_model` wrote to `folder`, on the CPU in float32, and what is known of it.

    Raises `UserError` where a file is missing, damaged, or does not fit the others.
    """
    info = read_info(folder)
    named = logit_scale_of(info.shape, parametrization_named(info.parametrization))
    model = STACKS[info.shape.stack](info.shape, logit_scale=info.logit_scale or named)
    put_weights(model, read_weights(folder / WEIGHTS), source=folder / WEIGHTS)
    return model, info


def read_info(folder: Path) -> ModelInfo:
    """What `folder`'s `model.json` says. Raises `UserError` where it is missing, damaged or of another version."""
    if (folder / ADAPTER).exists() and not (folder / MODEL).exists():
        raise UserError(
            f"{folder} has no {MODEL}: what it was fine-tuned with stands beside the model in {folder / BODY}, and "
            "only generate, predict-text and evaluate read both."
        )
    record = read_json_object(folder / MODEL)
    if record.get("schema") != SCHEMA:
        raise UserError(f"{folder / MODEL} has schema {record.get('schema')!r}, and this version reads {SCHEMA}.")
    try:
        base, tokenizer, scale = record["base"], record["tokenizer"], record.get("logit_scale")
        return ModelInfo(
            shape=ModelShape(**record["shape"]),
            parametrization=parametrization_named(record["parametrization"]).name,
            base=None if base is None else ModelShape(**base),
            objective=record["objective"],
            tokenizer=None if tokenizer is None else folder / Path(tokenizer).name,
            logit_scale=None if scale is None else float(scale),
        )
    except UserError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / MODEL} is damaged ({error}): save the model again.") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises `UserError` where there is no such file or no object in it."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path.parent} has no {path.name}: name the folder of a trained model.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}): it is damaged.") from error
    if not isinstance(record, dict):
        raise UserError(f"{path} holds no JSON object: it is damaged.")
    return record


def read_tokenizer(path: Path, shape: ModelShape) -> Tokenizer:
    """The tokenizer in `path`. Raises `UserError` for a damaged file, or one with more tokens than the model knows."""
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the tokenizers library raises plain Exception for what it can't parse
        raise UserError(f"{path} can't be read as a tokenizer ({error}).") from error
    if tokenizer.get_vocab_size() > shape.vocab:
        raise UserError(
            f"{path} has {tokenizer.get_vocab_size():,} tokens and the model {shape.vocab:,}: it is another model's."
        )
    return tokenizer


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write contiguous CPU tensors as safetensors, atomically; the metadata are those that transformers asks for."""
    with atomic_write(path) as handle:
        handle.write(safetensors.torch.save(dict(weights), metadata={"format": "pt"}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises `UserError` where it is missing or damaged."""
    try:
        return safetensors.torch.load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path.parent} has no {path.name}: name the folder of a trained model.") from error
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} can't be read ({error}): it is damaged.") from error


def put_weights(model: nn.Module, weights: Mapping[str, Tensor], *, source: Path) -> None:
    """Copy `weights` into `model`, all of them; `source` is where they are from, for the error.

    Raises `UserError` for a weight too few, too many or of another size.
    """
    parameters = dict(model.named_parameters())
    problems = [
        *(f"{name} is missing" for name in sorted(parameters.keys() - weights.keys())),
        *(f"{name} is not known" for name in sorted(weights.keys() - parameters.keys())),
        *(
            f"{name} is {tuple(weights[name].shape)}, not {tuple(parameter.shape)}"
            for name, parameter in parameters.items()
            if name in weights and weights[name].shape != parameter.shape
        ),
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"The weights in {source} do not fit the model's shape: {problems[0]}{more}.")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
