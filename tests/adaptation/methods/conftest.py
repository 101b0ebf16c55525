"""Tiny models with random weights, of each stack, with their head tied to the embedding or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isoflop.models import build_model, parametrization, save_model
from isoflop.shapes import ModelShape

TINY = {"layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "ffn": 48, "vocab": 304, "context": 32}


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Callable[..., Path]:
    """Writes a model folder: `untrained("encoder", tied=True)`; further keywords are the shape's."""
    made: dict[str, Path] = {}

    def write(stack: str, **shape: object) -> Path:
        key = f"{stack}-{sorted(shape.items())}"
        if key not in made:
            made[key] = tmp_path_factory.mktemp("untrained")
            settings = {**TINY, "positions": "learned" if stack == "encoder" else "rotary", **shape}
            full = ModelShape(stack=stack, **settings)
            table = parametrization("sp")
            model, _ = build_model(full, table, base=full, seed=1)
            how = {"parametrization": "sp", "base": None, "tokenizer": encoder / "tokenizer.json"}
            save_model(made[key], model, objective="masked" if stack == "encoder" else "causal", **how)
        return made[key]

    return write
