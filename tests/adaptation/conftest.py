"""A tiny encoder and decoder that the project itself has pretrained for some steps, and a table that they can learn."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from isoflop.models import build_model, parametrization, save_model
from isoflop.shapes import ModelShape
from isoflop.training import pretrain, read_plan

PLAN = """
schema = 1
[shape]
layers = 1
width = 32
heads = 2
ffn = 64
vocab = {vocab}
context = 32
stack = {stack!r}
dropout = 0.1
[train]
tokens = 8192
batch_tokens = 512
learning_rate = 0.005
parametrization = "sp"
objective = {objective!r}
evaluations = 1
valid_tokens = 320
[data]
corpus = [{text!r}]
valid_percent = 20
"""
TINY = {"layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "ffn": 48, "vocab": 304, "context": 32}
GOOD, BAD = ("bright", "lovely"), ("dull", "awful")
FILLER = ("the", "a", "film", "story", "actor", "of", "and", "with", "is", "was", "it", "this", "very")


def pretrained(folder: Path, text: Path, *, stack: str, objective: str) -> Path:
    plan = folder / "plan.toml"
    vocab = 304 if objective == "masked" else 300
    plan.write_text(PLAN.format(text=str(text), stack=stack, objective=objective, vocab=vocab))
    for _ in pretrain(read_plan(plan), folder / "run"):
        pass
    return folder / "run" / "model"


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory, study_text: Path, _token_cache: None) -> Path:
    """The folder of a pretrained encoder."""
    return pretrained(tmp_path_factory.mktemp("encoder"), study_text, stack="encoder", objective="masked")


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory, study_text: Path, _token_cache: None) -> Path:
    """The folder of a pretrained decoder."""
    return pretrained(tmp_path_factory.mktemp("decoder"), study_text, stack="decoder", objective="causal")


@pytest.fixture(scope="session")
def _token_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterable[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


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


def write_rows(path: Path, rows: Iterable[tuple[str, ...]], header: tuple[str, ...] = ("text", "label")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def reviews(count: int, seed: int) -> list[tuple[str, str]]:
    """Short reviews, each with one word that says whether it is good."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        words = draw.choices(FILLER, k=draw.randint(2, 6))
        words.insert(draw.randint(0, len(words)), draw.choice(GOOD if number % 2 else BAD))
        rows.append((" ".join(words), "good" if number % 2 else "bad"))
    return rows


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Paths of train (320 reviews), dev and test (100 each)."""
    folder = tmp_path_factory.mktemp("tables")
    sizes = {"train": 320, "dev": 100, "test": 100}
    return {name: write_rows(folder / f"{name}.csv", reviews(sizes[name], at)) for at, name in enumerate(sizes)}


@pytest.fixture(scope="session")
def write_table() -> Callable[..., Path]:
    return write_rows
