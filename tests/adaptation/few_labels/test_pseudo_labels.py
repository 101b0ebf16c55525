"""Self-training: what the model is sure of is added with where it is from, and nothing that is measured on."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from isoflop.adaptation import Recipe, Result, Split, load_classifier, read_split
from isoflop.adaptation.few_labels.pseudo_labels import Labelled, SelfTraining, read_unlabelled, self_train
from isoflop.errors import UserError

RECIPE = Recipe(epochs=4, learning_rate=1e-2, batch=16, precision="fp32")


@pytest.fixture
def split(tables: dict[str, Path]) -> Split:
    whole = read_split(tables["train"], test=tables["test"])
    return whole.with_parts({"train": whole.train.take(range(120)), "test": whole.parts["test"].take(range(40))})


def test_texts_that_the_model_is_sure_of_join_train_and_none_of_test(
    encoder: Path, split: Split, tables: dict[str, Path], tmp_path: Path
) -> None:
    rest = read_unlabelled(tables["train"], column="text").take(range(200, 260))
    test = split.parts["test"]
    places = (*rest.places, *test.places)
    unlabelled = replace(rest, texts=(*rest.texts, *test.texts), labels=("",) * 100, places=places)
    how = SelfTraining(confidence=0.7)
    events = list(self_train(encoder, split, unlabelled, out=tmp_path / "out", how=how, recipe=RECIPE))
    (labelled,) = (event for event in events if isinstance(event, Labelled))
    assert isinstance(events[-1], Result)
    guesses = load_classifier(tmp_path / "out" / "round-0").predict(unlabelled.texts)
    sure = [guess for guess in guesses[:60] if guess.probability >= 0.7]
    with (tmp_path / "out" / "train.csv").open() as file:
        rows = list(csv.DictReader(file))
    own, added = rows[:120], rows[120:]
    assert [row["text"] for row in own] == list(split.train.texts)
    assert 0 < len(added) == sum(labelled.counts.values()) <= len(sure)
    assert labelled.leaked > 20
    assert not {row["text"] for row in added} & set(test.texts)
    by_text = dict(zip(unlabelled.texts, guesses, strict=True))
    assert all(by_text[row["text"]].label == row["label"] for row in added)
    assert all("in round 0" in row["origin"] for row in added)
    again = list(self_train(encoder, split, unlabelled, out=tmp_path / "out", how=how, recipe=RECIPE))
    assert again[-1] == events[-1]


def test_nothing_sure_enough_is_said(encoder: Path, split: Split, tables: dict[str, Path], tmp_path: Path) -> None:
    unlabelled = read_unlabelled(tables["dev"], column="text")
    recipe = replace(RECIPE, epochs=1, learning_rate=1e-6)
    with pytest.raises(UserError, match="lower --confidence"):
        list(self_train(encoder, split, unlabelled, out=tmp_path, how=SelfTraining(confidence=0.999), recipe=recipe))


def test_a_table_without_labels_needs_only_the_text(tmp_path: Path, write_table: Callable[..., Path]) -> None:
    path = write_table(tmp_path / "u.csv", [("a",), ("b",)], header=("text",))
    found = read_unlabelled(path, column="text")
    assert (found.texts, found.places) == (("a", "b"), ("line 2", "line 3"))
    with pytest.raises(UserError, match="no column 'review'"):
        read_unlabelled(path, column="review")
    empty = write_table(tmp_path / "e.csv", [("a", "1"), (" ", "1")])
    with pytest.raises(UserError, match="line 3: the text"):
        read_unlabelled(empty, column="text")


@pytest.mark.parametrize("settings", [{"rounds": 0}, {"confidence": 0.0}, {"confidence": 1.1}])
def test_settings_that_cannot_be_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UserError):
        SelfTraining(**settings)  # type: ignore[arg-type]
