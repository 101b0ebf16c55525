"""Every token of a text is predicted once, bits per byte fall, and the saved model goes on from a prompt."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from isoflop.adaptation import Files, load_adapted, task_named
from isoflop.adaptation.tasks.continuation import pieces
from isoflop.errors import UserError
from isoflop.generation import Decoding, Greedy, read_generator
from isoflop.models import Batch


def test_texts_are_learnt_and_the_saved_model_goes_on(tmp_path: Path, learn: Callable[..., object]) -> None:
    line = "one two three four five six seven eight nine ten"
    (tmp_path / "train.txt").write_text(f"{line}\n" * 40)
    (tmp_path / "dev.txt").write_text(f"{line}\n\n{line} ten\n")
    result = learn("generate", Files(tmp_path / "train.txt", dev=tmp_path / "dev.txt"), epochs=15)
    figures, floor = result.scores["dev"].figures, result.floor.scores["dev"].figures
    assert figures["bits per byte"] < 0.5 * floor["bits per byte"]
    generator = read_generator(tmp_path / "out")
    assert generator.write(["one two three"], Decoding(Greedy(), 20))[0].text == line.removeprefix("one two three")
    saved = load_adapted(tmp_path / "out")
    examined = task_named("generate").examine(saved, tmp_path / "dev.txt").scores
    assert examined.figures["bits per byte"] == pytest.approx(figures["bits per byte"], rel=1e-4)
    total, size = 0.0, 0
    for text in (line, f"{line} ten"):  # the definition, with nothing of the task's
        tokens = torch.tensor([[generator.begin, *generator.encode_whole(text), generator.end]])
        with torch.no_grad():
            logits = generator.model(Batch(tokens[:, :-1], tokens[:, 1:]))[0]
        total += F.cross_entropy(logits, tokens[0, 1:], reduction="sum").item()
        size += len(text.encode())
    assert figures["bits per byte"] == pytest.approx(total / math.log(2) / size, rel=1e-4)


def test_a_long_text_is_divided_and_each_token_predicted_once(tmp_path: Path, learn: Callable[..., object]) -> None:
    (tmp_path / "train.txt").write_text("a b c d e f g h\n" * 12)
    (tmp_path / "dev.txt").write_text("a b c\n")
    learn("generate", Files(tmp_path / "train.txt", dev=tmp_path / "dev.txt"), epochs=1)
    generator = read_generator(tmp_path / "out")
    text = "h g f e d c b a " * 4
    parts = pieces(generator, text, 10)
    assert max(len(part.tokens) for part in parts) == 11
    predicted = [token for part in parts for token, asked in zip(part.tokens, part.learnt, strict=True) if asked]
    assert predicted == [*generator.encode_whole(text), generator.end]


def test_texts_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "x.csv").write_text("text,other\na,b\n,c\n")
    (tmp_path / "y.csv").write_text("foo,bar\na,b\n")
    task = task_named("generate")
    for name, message in (
        ("empty.txt", "holds no text"),
        ("x.csv", "line 3: the text"),
        ("y.csv", "no column"),
        ("none.txt", "no file"),
    ):
        with pytest.raises(UserError, match=message):
            task.read(Files(tmp_path / name, dev=tmp_path / name))
