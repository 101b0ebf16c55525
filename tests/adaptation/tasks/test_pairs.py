"""Pairs of texts: what stands between them, segments, and a folder that predicts what was measured."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from adaptation.tasks.conftest import BAD, GOOD, sentence
from isoflop.adaptation import Recipe, Result, finetune, load_adapted, task_named
from isoflop.adaptation.batches import TextBatches
from isoflop.adaptation.pairs import reads_pairs
from isoflop.adaptation.pretrained import read_pretrained, tokenize
from isoflop.adaptation.task import Files
from isoflop.errors import UserError

WriteTable = Callable[..., Path]
HEADER = ("premise", "hypothesis", "label")


def rows(count: int, seed: int) -> list[tuple[str, str, str]]:
    """The second text decides; a word of the kind that decides stands in the first one too."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        second = draw.choice(GOOD if number % 2 else BAD)
        found.append((sentence(draw, "story"), sentence(draw, second), "yes" if number % 2 else "no"))
    return found


@pytest.mark.parametrize(("stack", "rate"), [("encoder", 5e-3), ("decoder", 1e-2)])
def test_pairs_are_learnt_saved_and_predicted_again(
    stack: str, rate: float, request: pytest.FixtureRequest, tmp_path: Path, write_table: WriteTable
) -> None:
    model = request.getfixturevalue(stack)
    train, test = (write_table(tmp_path / f"{n}.csv", rows(n, n), HEADER) for n in (320, 60))
    split = task_named("pairs").read(Files(train, test=test))
    assert (split.train.columns.first, split.train.columns.second) == ("premise", "hypothesis")
    recipe = Recipe(learning_rate=rate, batch=16, epochs=4)
    *_, result = finetune(model, split, out=tmp_path / "out", recipe=recipe)
    assert isinstance(result, Result)
    assert result.scores["test"].accuracy >= 0.9
    if result.floor is not None:
        assert "of each of 2 texts" in result.floor.description
        assert result.floor.scores["test"].figures["accuracy"] >= 0.95
    predictor = load_adapted(tmp_path / "out")
    again = split.task.examine(load_adapted(tmp_path / "out"), test)
    assert again.scores.figures == pytest.approx(result.scores["test"].figures, abs=1e-6)
    with (tmp_path / "out" / "predictions-test.csv").open(encoding="utf-8") as file:
        told = [row["predicted"] for row in csv.DictReader(file)]
    assert [row[0] for row in predictor.rows(split.parts["test"].texts)] == told
    with pytest.raises(UserError, match="Text 1 is empty"):
        predictor.rows([("a", " ")])


def test_a_tokenizer_without_a_rule_for_pairs_gets_a_separator(encoder: Path) -> None:
    tokenizer = reads_pairs(read_pretrained(encoder).tokenizer)
    found = tokenizer.encode("a film", "a story")
    assert found.tokens[0] == "[CLS]"
    assert [at for at, token in enumerate(found.tokens) if token == "[SEP]"] == [
        found.type_ids.index(1) - 1,
        len(found) - 1,
    ]
    bare = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    bare.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(UserError, match="no token that could stand between two texts"):
        reads_pairs(bare)


def test_segments_follow_the_texts_and_the_longer_text_is_cut(encoder: Path) -> None:
    tokenizer = reads_pairs(read_pretrained(encoder).tokenizer)
    found = tokenize(tokenizer, [("a film " * 20, "ab"), ("a", "b")], longest=16)
    assert found.cut == 1
    assert len(found.sequences[0]) == 16
    ends = tokenizer.encode("x", "ab").ids[-3:]
    assert list(found.sequences[0][-len(ends) :])[-1] == ends[-1]
    assert found.segments is not None
    batch = TextBatches(found, [0, 1], batch=2, seed=0, has_segments=True).at(0)
    assert batch.segments is not None
    assert batch.segments.shape == batch.inputs.shape
    assert sorted(int(row.sum()) for row in batch.segments) == sorted(int(sum(one)) for one in found.segments)
    assert torch.equal(batch.targets.flatten().sort().values, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (("a", " ", "yes"), r"line 4: the second text \(column hypothesis\) is empty"),
        (("", "b", "yes"), "line 4: the first text"),
        (("a", "b", ""), "line 4: the label"),
    ],
)
def test_a_fault_is_one_sentence_with_its_place(
    broken: tuple[str, ...], sentence: str, tmp_path: Path, write_table: WriteTable
) -> None:
    path = write_table(tmp_path / "a.csv", [*rows(2, 0), broken], HEADER)
    with pytest.raises(UserError, match=sentence):
        task_named("pairs").read(Files(path, path))


def test_labels_and_columns_that_are_missing_are_said(tmp_path: Path, write_table: WriteTable) -> None:
    train = write_table(tmp_path / "a.csv", rows(4, 0), HEADER)
    dev = write_table(tmp_path / "b.csv", [("a", "b", "maybe")], HEADER)
    with pytest.raises(UserError, match="line 2: the label 'maybe' is not in"):
        task_named("pairs").read(Files(train, dev))
    other = write_table(tmp_path / "c.csv", rows(4, 0), ("left", "right", "label"))
    with pytest.raises(UserError, match="choose one with --option first=COLUMN from 'left', 'right', 'label'"):
        task_named("pairs").read(Files(other, other))
    split = task_named("pairs", {"first": "left", "second": "right"}).read(Files(other, train.parent / "c.csv"))
    assert split.warnings == ("4 of the 4 texts of dev are in train too, which flatters its figures.",)
