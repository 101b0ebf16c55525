"""Questions and contexts: forms of answers, windows, what is learnt, a threshold from dev, faults with their places."""

from __future__ import annotations

import csv
import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from adaptation.tasks.conftest import FILLER
from isoflop.adaptation import Recipe, Result, finetune, load_adapted, task_named
from isoflop.adaptation.pairs import reads_pairs
from isoflop.adaptation.pretrained import read_pretrained
from isoflop.adaptation.span_answers import likest_sentence
from isoflop.adaptation.task import Files
from isoflop.adaptation.windows import NO_ANSWER, windows_of
from isoflop.errors import UserError

NAMES = ("bright", "lovely", "dull", "awful")


def questions(count: int, seed: int, *, silent: float = 0.4) -> list[dict[str, Any]]:
    """Contexts in which a name is the answer; without one there is none."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        words = draw.choices(FILLER, k=draw.randint(3, 9))
        name = "" if draw.random() < silent else draw.choice(NAMES)
        at = draw.randint(0, len(words))
        context = " ".join([*words[:at], *([name] if name else []), *words[at:]])
        start = len(" ".join([*words[:at], ""])) if at else 0
        answers = [{"text": name, "start": start}] if name else []
        found.append({"question": "who", "context": context, "answers": answers, "impossible": not name})
    return found


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_answers_are_learnt_saved_and_predicted_again(encoder: Path, files: Files, tmp_path: Path) -> None:
    for name, path in files.named.items():
        write(path, questions(360 if name == "train" else 60, len(name) * 7 + ord(name[0])))
    split = task_named("qa", {"stride": "8"}).read(files)
    recipe = Recipe(learning_rate=1e-2, batch=32, epochs=6)
    *_, result = finetune(encoder, split, out=tmp_path / "out", recipe=recipe)
    assert isinstance(result, Result)
    scores, floor = result.scores["test"], result.floor
    assert floor is not None
    assert floor.description.startswith("no answer to any question; forced to one, the sentence")
    silent = sum(not some for some in split.parts["test"].labels) / 60
    assert floor.scores["test"].figures["F1"] == pytest.approx(silent)
    assert scores.figures["F1"] > silent + 0.2
    assert set(scores.figures) == {"F1", "EM", "F1 answerable", "F1 unanswerable", "F1 forced"}
    assert list(scores.figures) == list(floor.scores["test"].figures)
    assert scores.figures["F1 forced"] >= scores.figures["F1 answerable"]
    card = (tmp_path / "out" / "model" / "README.md").read_text(encoding="utf-8")
    threshold = json.loads((tmp_path / "out" / "model" / "task.json").read_text())["threshold"]
    assert f"less than {threshold:.3f} likelier (in nats), chosen on dev" in card
    again = split.task.examine(load_adapted(tmp_path / "out"), files.named["test"])
    assert again.scores.figures == pytest.approx(result.scores["test"].figures, abs=1e-6)
    with (tmp_path / "out" / "predictions-test.csv").open(encoding="utf-8") as file:
        told = [row["predicted"] for row in csv.DictReader(file)]
    assert [row[0] for row in load_adapted(tmp_path / "out").rows(split.parts["test"].texts)] == told


def test_where_every_question_has_an_answer_one_is_always_given(encoder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", questions(8, 0, silent=0))
    split = task_named("qa").read(Files(path, path))
    *_, result = finetune(encoder, split, out=tmp_path / "out", recipe=Recipe(epochs=1))
    assert isinstance(result, Result)
    assert result.floor is not None
    assert result.floor.description == "the sentence with most of the question's words"
    assert all(row[0] for row in load_adapted(tmp_path / "out").rows(split.train.texts))
    with pytest.raises(UserError, match="Text 1 is empty"):
        load_adapted(tmp_path / "out").rows([("who", "")])


def test_windows_cover_a_long_context_and_share_their_edges(encoder: Path) -> None:
    tokenizer = reads_pairs(read_pretrained(encoder).tokenizer)
    context = " ".join(f"film{number}" for number in range(30))
    found = windows_of(tokenizer, [("who is it", context), ("who", "short")], longest=24, stride=6)
    mine = [window for window in found.windows if window.example == 0]
    assert all(len(sequence) <= 24 for sequence in found.texts.sequences)
    assert all((one.offsets[-6:] == other.offsets[:6]).all() for one, other in itertools.pairwise(mine))
    covered = {at for window in mine for begin, end in window.offsets for at in range(begin, end)}
    assert covered >= {at for at, character in enumerate(context) if character != " "}
    start = context.index("film17")
    spans = [window.tokens_of(start, start + 6) for window in mine]
    told = [
        context[window.offsets[a - window.first, 0] : window.offsets[b - window.first, 1]]
        for window, (a, b) in zip(mine, spans, strict=True)
        if a != NO_ANSWER
    ]
    assert {one.strip() for one in told} == {"film17"}
    assert any(a == NO_ANSWER for a, _ in spans)
    long = windows_of(tokenizer, [("who " * 40, context)], longest=24, stride=6)
    assert long.cut_questions == 1
    assert all(
        len(sequence) <= 24 and window.first <= 13
        for sequence, window in zip(long.texts.sequences, long.windows, strict=True)
    )


def test_answers_come_in_many_forms(tmp_path: Path) -> None:
    context, right = "看了 the film twice", ((("film", 7),),)
    forms: list[Any] = [
        [{"text": "film", "start": 7}],
        [{"text": "film", "answer_start": 7}],
        {"text": ["film"], "answer_start": [7]},
        ["film"],
        "film",
    ]
    for form in forms:
        path = write(tmp_path / "a.jsonl", [{"question": "q", "context": context, "answers": form}])
        assert task_named("qa").read(Files(path, path)).train.labels == right
    squad = {"question": "q", "answers": forms[1], "is_impossible": False}
    none = {"question": "r", "answers": [], "is_impossible": True}
    whole = {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": [squad, none]}]}]}
    (tmp_path / "a.json").write_text(json.dumps(whole))
    part = task_named("qa").read(Files(tmp_path / "a.json", path)).train
    assert part.labels == (*right, ())
    assert part.places == ("entry 1", "entry 2")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"answers": [{"text": "film", "start": 3}]}, "line 2: the answer 'film' is not in the context at character 3"),
        ({"answers": ["book"]}, "line 2: the answer 'book' is not in the context: correct it"),
        ({"answers": [""]}, "line 2: the answer '' is no text"),
        ({"context": " "}, r"line 2: the context \(column context\) is empty"),
        ({"question": ""}, "line 2: the question"),
    ],
)
def test_a_fault_is_one_sentence_with_its_place(row: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    good = {"question": "q", "context": "a film", "answers": [{"text": "film", "start": 2}]}
    path = write(tmp_path / "a.jsonl", [good, {**good, **row}])
    with pytest.raises(UserError, match=sentence):
        task_named("qa").read(Files(path, path))


def test_what_can_not_be_learnt_is_refused(decoder: Path, tmp_path: Path) -> None:
    silent = write(tmp_path / "a.jsonl", questions(4, 0, silent=1))
    with pytest.raises(UserError, match="no question with an answer"):
        task_named("qa").read(Files(silent, silent))
    path = write(tmp_path / "b.jsonl", questions(4, 0, silent=0))
    with pytest.raises(UserError, match="of the kind decoder, and this task needs one of the kind encoder"):
        next(finetune(decoder, task_named("qa").read(Files(path, path)), out=tmp_path / "out"))
    with pytest.raises(UserError, match="stride is -1"):
        task_named("qa", {"stride": "-1"})


def test_the_sentence_with_most_of_the_questions_words() -> None:
    assert likest_sentence("When did the dog bark?", "A cat sat. The dog did bark! It left.") == "The dog did bark!"
    assert likest_sentence("黑豹队丢了多少分？", "今天下雨。黑豹队只丢了308分。结束。") == "黑豹队只丢了308分。"


@pytest.mark.data
def test_real_questions_have_their_answers_where_they_say(data_dir: Path) -> None:
    folder = data_dir / "text"
    split = task_named("qa").read(Files(folder / "squad2" / "valid.jsonl.gz", folder / "xquad" / "zh.jsonl.gz"))
    assert len(split.parts["dev"]) == 1190
    assert all(split.parts["dev"].labels)
    assert 0.4 < sum(not some for some in split.train.labels) / len(split.train) < 0.6
