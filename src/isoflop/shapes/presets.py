"""Shapes by name: those of published models, with whatever is to be different."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from isoflop.errors import UserError
from isoflop.shapes.model_shape import ModelShape
from isoflop.shapes.published import published_shape

FAMILIES: Mapping[str, str] = {
    "bert": "bert-base",
    "gpt3": "gpt3-125m",
    "llama": "llama-3-8b",
    "llama-2": "llama-2-7b",
    "llama-3": "llama-3-8b",
    "mixtral": "mixtral-8x7b",
    "pythia": "pythia-160m",
    "qwen2.5": "qwen2.5-0.5b",
    "smollm2": "smollm2-135m",
    "t5": "t5-base",
}
"""The member that a family's name alone stands for; `gpt2` is a model's own name."""


def preset(name: str, **switches: Any) -> ModelShape:
    """The shape of a published model, or of the usual one of a family, with `switches` changed.

    `preset("gpt2", context=512, dropout=0.0)`. Raises `UserError` for a name or a switch that is not known, with the
    nearest ones, and for shapes that cannot be.
    """
    known = [field.name for field in fields(ModelShape)]
    for switch in switches:
        if switch not in known:
            near = difflib.get_close_matches(switch, known, n=3, cutoff=0.3)
            raise UserError(f"A shape has no switch called {switch!r}: did you mean {', '.join(near) or 'norm'}?")
    return replace(published_shape(FAMILIES.get(name.lower(), name)), **switches)
