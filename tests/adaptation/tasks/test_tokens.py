"""Tags of words: spans, what is learnt, what a cut costs, and words without spaces between."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from adaptation.tasks.conftest import FILLER
from isoflop.adaptation import Recipe, Result, finetune, load_adapted, task_named
from isoflop.adaptation.pretrained import read_pretrained
from isoflop.adaptation.task import Files
from isoflop.adaptation.tasks.tokens import tokenize_words
from isoflop.errors import UserError
from isoflop.evaluation.spans import spans_of, tagging_scores

NAMES = ("bright", "lovely", "dull", "awful")


def texts(count: int, seed: int) -> list[tuple[list[str], list[str]]]:
    """A name of one or two words in some filler; what follows "actor" is a person, other names are places."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        before = [*draw.choices([word for word in FILLER if word != "actor"], k=draw.randint(1, 2))]
        kind = "PER" if number % 2 else "LOC"
        before += ["actor"] if number % 2 else []
        name = draw.sample(NAMES, k=draw.randint(1, 2))
        after = draw.choices(FILLER, k=draw.randint(1, 2))
        tags = ["O"] * len(before) + [f"B-{kind}"] + [f"I-{kind}"] * (len(name) - 1) + ["O"] * len(after)
        found.append(([*before, *name, *after], tags))
    return found


def write_conll(path: Path, rows: list[tuple[list[str], list[str]]]) -> Path:
    path.write_text("\n".join("".join(f"{w} _ {t}\n" for w, t in zip(*row, strict=True)) for row in rows))
    return path


def write_lists(path: Path, rows: list[tuple[list[str], list[str]]]) -> Path:
    path.write_text("".join(json.dumps({"tokens": words, "ner_tags": tags}) + "\n" for words, tags in rows))
    return path


def test_conll_and_lists_hold_the_same_words(tmp_path: Path) -> None:
    rows = texts(5, 0)
    one, two = write_conll(tmp_path / "a.conll", rows), write_lists(tmp_path / "b.jsonl", rows)
    splits = [task_named("tokens").read(Files(path, path)) for path in (one, two)]
    assert splits[0].train.texts == splits[1].train.texts == tuple(tuple(words) for words, _ in rows)
    assert splits[0].hash == splits[1].hash
    assert splits[0].train.places[1] == f"line {len(rows[0][0]) + 2}"


@pytest.mark.parametrize(("stack", "rate"), [("encoder", 1e-2), ("decoder", 1e-2)])
def test_tags_are_learnt_saved_and_predicted_again(
    stack: str, rate: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    train, test = write_lists(tmp_path / "a.jsonl", texts(320, 1)), write_conll(tmp_path / "b.conll", texts(60, 2))
    with pytest.raises(UserError, match=r"has no column 'ner_tags'"):
        task_named("tokens").read(Files(train, test=test))
    train = write_conll(tmp_path / "a.conll", texts(320, 1))
    split = task_named("tokens").read(Files(train, test=test))
    recipe = Recipe(learning_rate=rate, batch=16, epochs=8)
    *_, result = finetune(request.getfixturevalue(stack), split, out=tmp_path / "out", recipe=recipe)
    assert isinstance(result, Result)
    scores, floor = result.scores["test"], result.floor
    assert scores.main == "entity F1"
    assert floor is not None
    assert scores.figures["entity F1"] > floor.scores["test"].figures["entity F1"] + 0.1
    again = split.task.examine(load_adapted(tmp_path / "out"), test)
    assert again.scores.figures == pytest.approx(result.scores["test"].figures, abs=1e-6)
    measure = again.scores.measures["entity F1"]
    assert measure.figure(measure.values.mean(axis=0)) == pytest.approx(again.scores.figures["entity F1"])
    with (tmp_path / "out" / "predictions-test.csv").open(encoding="utf-8") as file:
        told = [row["predicted"] for row in csv.DictReader(file)]
    assert [row[0] for row in load_adapted(tmp_path / "out").rows([(" ".join(w),) for w, _ in texts(60, 2)])] == told


def test_a_words_first_token_stands_for_it_and_a_space_is_its_own(encoder: Path) -> None:
    tokenizer = read_pretrained(encoder).tokenizer
    words = ("film", "lovely", "好")
    found = tokenize_words(tokenizer, [words], longest=32, at_end=False)
    ids, starts = list(found.texts.sequences[0]), found.starts[0]
    assert tokenizer.decode(ids) == "film lovely好"
    assert [tokenizer.decode(ids[a:b]) for a, b in zip(starts, (*starts[1:], None), strict=True)] == [
        "film",
        " lovely",
        "好",
    ]
    last = tokenize_words(tokenizer, [words], longest=32, at_end=True).starts[0]
    assert last == (starts[1] - 1, starts[2] - 1, len(ids) - 1)
    cut = tokenize_words(tokenizer, [words], longest=starts[1] + 1, at_end=False)
    assert (cut.starts[0], cut.texts.cut) == (starts[:2], 1)


def test_words_that_are_cut_are_counted_and_count_as_outside(encoder: Path, tmp_path: Path) -> None:
    rows = [(["film"] * 40 + ["lovely"], ["O"] * 40 + ["B-PER"]), (["lovely"], ["B-PER"])]
    path = write_conll(tmp_path / "a.conll", rows)
    split = task_named("tokens").read(Files(path, test=path))
    *_, result = finetune(encoder, split, out=tmp_path / "out", recipe=Recipe(epochs=1))
    assert isinstance(result, Result)
    assert any("texts of test are longer than 32 tokens: their last words" in one for one in result.warnings)
    assert any("count as O" in one for one in result.warnings)
    with (tmp_path / "out" / "predictions-test.csv").open(encoding="utf-8") as file:
        assert len(next(csv.DictReader(file))["predicted"].split()) == 41
    with pytest.raises(UserError, match="Text 1 has more than 32 tokens"):
        load_adapted(tmp_path / "out").rows([("film " * 40,)])


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "line 2: there are 2 words and 1 tags"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "line 2: word 2 is empty"),
        ({"tokens": [], "tags": []}, "line 2: there are no words"),
        ({"tokens": "a b", "tags": "O O"}, "line 2: column tokens holds no list"),
        ({"tokens": ["a"], "tags": ["O"]}, "one tag only, 'O'"),
    ],
)
def test_a_fault_is_one_sentence_with_its_place(row: dict[str, object], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"tokens": ["x"], "tags": ["O"]}) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(UserError, match=sentence):
        task_named("tokens").read(Files(path, path))


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("B-A I-A O B-A", [("A", 0, 2), ("A", 3, 4)]),
        ("B-A B-A I-B I-B", [("A", 0, 1), ("A", 1, 2), ("B", 2, 4)]),
        ("I-A I-A O I-B", [("A", 0, 2), ("B", 3, 4)]),
        ("S-A B-A E-A S-B", [("A", 0, 1), ("A", 1, 3), ("B", 3, 4)]),
        ("U-A B-A L-A O", [("A", 0, 1), ("A", 1, 3)]),
        ("O O", []),
    ],
)
def test_spans_of_tags(tags: str, spans: list[tuple[str, int, int]]) -> None:
    assert spans_of(tags.split()) == spans


def test_entities_count_as_a_whole_and_tags_that_are_no_spans_one_by_one() -> None:
    right, told = [["B-A", "I-A", "O", "B-B"]], [["B-A", "O", "O", "B-B"]]
    scores = tagging_scores(told, right, kinds=("B-A", "I-A", "O", "B-B"))
    assert scores.figures == {
        "entity F1": 0.5,
        "precision": 0.5,
        "recall": 0.5,
        "whole texts": 0.0,
        "token accuracy": 0.75,
    }
    assert [(one.label, one.f1) for one in scores.labels] == [("A", 0.0), ("B", 1.0)]
    parts = tagging_scores([["NOUN", "VERB"]], [["NOUN", "NOUN"]], kinds=("NOUN", "VERB"))
    assert parts.main == "token accuracy"
    assert parts.figures["token accuracy"] == 0.5


def test_chinese_is_tagged_character_by_character(encoder: Path, tmp_path: Path) -> None:
    rows = [(list("我在北京看电影"), ["O", "O", "B-LOC", "I-LOC", *"OOO"]), (list("他说好"), [*"OOO"])] * 4
    path = write_conll(tmp_path / "a.conll", rows)
    split = task_named("tokens").read(Files(path, test=path))
    recipe = Recipe(learning_rate=1e-2, batch=4, epochs=40)
    *_, result = finetune(encoder, split, out=tmp_path / "out", recipe=recipe)
    assert isinstance(result, Result)
    assert load_adapted(tmp_path / "out").rows([("我在北京看电影",)]) == [
        ("O O B-LOC I-LOC O O O", "我 在 北 京 看 电 影")
    ]
