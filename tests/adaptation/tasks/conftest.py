"""Examples of each task that a tiny model can learn in seconds, in English and in Chinese."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from isoflop.adaptation import Files

GOOD, BAD = ("bright", "lovely"), ("dull", "awful")
FILLER = ("the", "a", "film", "story", "actor", "of", "and", "with", "is", "was", "it", "this", "very")


def sentence(draw: random.Random, *words: str) -> str:
    """Some filler with `words` in it."""
    chosen = draw.choices(FILLER, k=draw.randint(2, 5))
    for word in words:
        chosen.insert(draw.randint(0, len(chosen)), word)
    return " ".join(chosen)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Where a test may write its parts, which are not there yet."""
    return Files(tmp_path / "train.jsonl", tmp_path / "dev.jsonl", tmp_path / "test.jsonl")
