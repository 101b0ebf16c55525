"""An adapted model as a folder: an ordinary model, or a `body` folder with an adapter (prompt, prefixes) beside it.

Such a folder has no `model.json` of its own, so nothing can take it for an ordinary model and leave the adapter out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from torch import Tensor

from isoflop.errors import UserError
from isoflop.models.attention import Attention
from isoflop.models.layers import Layers
from isoflop.models.model import Model
from isoflop.models.prompts import Prefix, Prompt
from isoflop.models.storage import ADAPTER, BODY, ModelInfo, load_model, read_weights, save_model, write_weights

PROMPT = re.compile(r"(encoder\.|)prompt\.vectors_PD")
PREFIX = re.compile(r"((?:\w+coder\.)?blocks\.\d+\.attention)\.prefix\.(keys|values)_KPC")


def save_body(folder: Path, body: Model, info: ModelInfo) -> None:
    """Write a `body` whose method has finished; `info` is that of the model that was adapted."""
    weights = adapter_weights(body)
    take_off(body)
    save_model(
        folder / BODY if weights else folder,
        body,
        parametrization=info.parametrization,
        base=info.base,
        objective=info.objective,
        tokenizer=info.tokenizer,
    )
    if weights:
        write_weights(folder / ADAPTER, weights)
        put_on(body, weights, source=folder / ADAPTER)


def load_body(folder: Path) -> tuple[Model, ModelInfo]:
    """What `save_body` wrote. Raises `UserError` where something is missing, damaged, or does not fit."""
    adapted = (folder / ADAPTER).exists()
    body, info = load_model(folder / BODY if adapted else folder)
    assert isinstance(body, Model)
    if adapted:
        put_on(body, read_weights(folder / ADAPTER), source=folder / ADAPTER)
    return body, info


def is_adapted(folder: Path) -> bool:
    """Whether the model in `folder` has an adapter beside it."""
    return (folder / ADAPTER).exists()


def adapter_weights(body: Model) -> dict[str, Tensor]:
    """The weights of `body` that belong to a prompt or to prefixes, by name."""
    named = {name: weight.detach().float().cpu().contiguous() for name, weight in body.named_parameters()}
    return {name: weight for name, weight in named.items() if PROMPT.fullmatch(name) or PREFIX.fullmatch(name)}


def take_off(body: Model) -> None:
    """Make an ordinary model of `body`: its prompt or prefixes are gone."""
    for part in body.modules():
        if isinstance(part, Attention):
            part.prefix = None
        if isinstance(part, Layers):
            part.prompt = None


def put_on(body: Model, weights: dict[str, Tensor], *, source: Path) -> None:
    """Give `body` the prompt or the prefixes in `weights`. Raises `UserError` for what does not fit it."""
    shape, layers = body.shape, dict(body.named_modules())
    pairs: dict[str, dict[str, Tensor]] = {}
    for name, weight in weights.items():
        found, prompt = PREFIX.fullmatch(name), PROMPT.fullmatch(name)
        stack = layers.get(prompt[1].rstrip(".")) if prompt else None
        if isinstance(stack, Layers) and weight.ndim == 2 and weight.shape[1] == shape.width:
            stack.prompt = Prompt(weight)
        elif found and found[1] in layers and weight.shape[::2] == (shape.n_kv_heads, shape.head_size):
            pairs.setdefault(found[1], {})[found[2]] = weight
        else:
            raise UserError(f"{source} does not fit the model beside it ({name}): it is damaged.")
    for path, pair in pairs.items():
        layer = cast(Attention, layers[path])
        layer.prefix = Prefix(pair["keys"], pair["values"])
