"""Several labels for a text: how sets are read, what is learnt, and that what was saved says the same."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from adaptation.tasks.conftest import sentence
from isoflop.adaptation import Recipe, Result, finetune, load_adapted, read_result, task_named
from isoflop.adaptation.task import Files
from isoflop.errors import UserError
from isoflop.evaluation.label_sets import label_set_scores

WORDS = {"acting": "lovely", "plot": "dull", "sound": "bright"}
WriteTable = Callable[..., Path]


def rows(count: int, seed: int) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        labels = [label for label in WORDS if draw.random() < 0.4]
        found.append((sentence(draw, *(WORDS[label] for label in labels)), "|".join(labels)))
    return found


def test_sets_are_learnt_saved_and_predicted_again(encoder: Path, tmp_path: Path, write_table: WriteTable) -> None:
    parts = {name: write_table(tmp_path / f"{name}.csv", rows(size, size)) for name, size in (("a", 400), ("b", 80))}
    split = task_named("multilabel").read(Files(parts["a"], parts["b"]))
    assert split.labels == ("acting", "plot", "sound")
    recipe = Recipe(learning_rate=5e-3, batch=16, epochs=4)
    *_, result = finetune(encoder, split, out=tmp_path / "out", recipe=recipe)
    assert isinstance(result, Result)
    scores = result.scores["dev"]
    assert scores.figures["F1 micro"] > 0.9
    assert sum(scores.values["subset accuracy"]) / 80 == pytest.approx(scores.figures["subset accuracy"])
    assert [one.label for one in scores.labels] == list(split.labels)
    assert read_result(tmp_path / "out") == result
    bare = sum(not labels for _, labels in rows(80, 80))
    assert f"{bare} of the 80 texts of dev have no label." in result.warnings
    if result.floor is not None:
        assert "one logistic regression for each label" in result.floor.description
        assert result.floor.scores["dev"].figures["F1 micro"] > 0.95
    again = split.task.examine(load_adapted(tmp_path / "out"), parts["b"])
    assert again.scores.figures == pytest.approx(result.scores["dev"].figures, abs=1e-6)
    measure = again.scores.measures["F1 micro"]
    assert measure.figure(measure.values.mean(axis=0)) == pytest.approx(again.scores.figures["F1 micro"])
    with (tmp_path / "out" / "predictions-dev.csv").open(encoding="utf-8") as file:
        told = [row["predicted"] for row in csv.DictReader(file)]
    texts = split.parts["dev"].texts
    assert [row[0] for row in load_adapted(tmp_path / "out").rows([(text,) for text in texts])] == told


def test_a_set_is_a_list_or_names_with_a_separator(tmp_path: Path, write_table: WriteTable) -> None:
    as_json = tmp_path / "a.jsonl"
    as_json.write_text("".join(json.dumps({"text": t, "labels": y}) + "\n" for t, y in (("a", ["y", 1]), ("b", []))))
    as_csv = write_table(tmp_path / "b.csv", [("a", '["y", 1]'), ("b", "")])
    as_names = write_table(tmp_path / "c.csv", [("a", "y; 1"), ("b", "")])
    for path, settings in ((as_json, {}), (as_csv, {}), (as_names, {"separator": ";"})):
        split = task_named("multilabel", settings).read(Files(path, path))
        assert split.train.labels == (("1", "y"), ())


@pytest.mark.parametrize(
    ("train", "dev", "sentence"),
    [
        ([("a", "x|y"), ("b", "y||x")], [], "line 3: there is an empty name among the labels 'y', '', 'x'"),
        ([("a", "x|y"), ("b", "y|y")], [], "line 3: the label 'y' is there twice"),
        ([("a", "x|y"), ("b", "[x")], [], "line 3: the labels are no JSON list"),
        ([("a", "x|y"), (" ", "x")], [], "line 3: the text .* is empty"),
        ([("a", "x|y"), ("b", "x")], [("c", "x|z")], "line 2: the label 'z' is not in"),
        ([("a", "x"), ("b", "x")], [], "one label only, 'x'"),
        ([("a", ""), ("b", "")], [], "has no label"),
    ],
)
def test_a_fault_is_one_sentence_with_its_place(
    train: list[tuple[str, str]], dev: list[tuple[str, str]], sentence: str, tmp_path: Path, write_table: WriteTable
) -> None:
    paths = (write_table(tmp_path / "train.csv", train), write_table(tmp_path / "dev.csv", dev or train))
    with pytest.raises(UserError, match=sentence):
        task_named("multilabel").read(Files(*paths))


def test_figures_of_sets_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = random.Random(0)
    p_NK = [[draw.random() for _ in range(3)] for _ in range(50)]
    y_NK = [[int(draw.random() < 0.3) for _ in range(3)] for _ in range(50)]
    given = [[int(p >= 0.5) for p in row] for row in p_NK]
    figures = label_set_scores(p_NK, y_NK, labels=("a", "b", "c")).figures
    assert figures["F1 micro"] == pytest.approx(metrics.f1_score(y_NK, given, average="micro"))
    assert figures["F1 macro"] == pytest.approx(metrics.f1_score(y_NK, given, average="macro"))
    assert figures["precision"] == pytest.approx(metrics.precision_score(y_NK, given, average="micro"))
    assert figures["subset accuracy"] == pytest.approx(metrics.accuracy_score(y_NK, given))
