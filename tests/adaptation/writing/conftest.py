"""Small tasks of writing that can be learnt in seconds: numbers' names in another language."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isoflop.adaptation import Files, Recipe, Result, finetune, task_named
from isoflop.adaptation.scratch import first_model

SHAPE = """
[shape]
stack = "{stack}"
layers = 2
width = 64
heads = 4
ffn = 128
feed_forward = "relu"
vocab = 300
context = {context}
tied = true
"""
WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "six": "sechs"}


def pairs(first: int, last: int) -> list[tuple[str, str]]:
    """Two words and their translation: 36 in all."""
    every = [(f"{a} {b}", f"{WORDS[a]} {WORDS[b]}") for a in WORDS for b in WORDS]
    return sorted(every, key=lambda pair: hash_of(pair[0]))[first:last]


def hash_of(text: str) -> int:
    return sum(ord(letter) * 31**place for place, letter in enumerate(text)) % 1009


@pytest.fixture
def side_by_side(tmp_path: Path) -> Path:
    """train.en, train.de, dev.en, dev.de; returns their folder."""
    for name, part in (("train", pairs(0, 30)), ("dev", pairs(30, 36))):
        for column, ending in enumerate(("en", "de")):
            (tmp_path / f"{name}.{ending}").write_text("".join(f"{pair[column]}\n" for pair in part), encoding="utf-8")
    return tmp_path


@pytest.fixture
def conversations(tmp_path: Path) -> Path:
    """train.jsonl and dev.jsonl of conversations with two turns; returns their folder."""
    for name, part in (("train", pairs(0, 30)), ("dev", pairs(30, 36))):
        rows = [
            {
                "messages": [
                    {"role": "system", "content": "Translate."},
                    {"role": "user", "content": one.split()[0]},
                    {"role": "assistant", "content": two.split()[0]},
                    {"role": "user", "content": one.split()[1]},
                    {"role": "assistant", "content": two.split()[1]},
                ]
            }
            for one, two in part
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return tmp_path


@pytest.fixture
def learn(tmp_path: Path) -> Callable[..., Result]:
    """Fine-tunes a fresh model: `learn(task, files, settings, stack=…, epochs=…)` into tmp_path/out."""

    def run(
        task: str, files: Files, settings: dict[str, Any] | None = None, *, stack: str = "decoder", epochs: int = 40
    ) -> Result:
        split = task_named(task, settings).read(files)
        shape = tmp_path / "shape.toml"
        shape.write_text(SHAPE.format(stack=stack, context=64))
        model = first_model(shape, split, tmp_path / "start", seed=0)
        recipe = Recipe(learning_rate=3e-3, batch=10, epochs=epochs, precision="fp32")
        *_, result = finetune(model, split, out=tmp_path / "out", recipe=recipe)
        assert isinstance(result, Result)
        return result

    return run
