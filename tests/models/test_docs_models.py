"""The page on models says what there is: its example runs, and no word of a switch is missing."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from isoflop.shapes import ModelShape
from isoflop.shapes.switches import CHOICES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
SIZES = {"layers", "width", "heads", "vocab", "context", "ffn", "size_per_head", "active_experts", "norm_eps"}


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(example, "docs/models.md", "exec"), {})


def test_every_switch_and_every_word_is_on_the_page() -> None:
    words = set(re.findall(r"\w+", PAGE))
    assert {field.name for field in fields(ModelShape)} - SIZES <= words
    assert {word for choices in CHOICES.values() for word in choices} <= words
