"""Prompts: what is asked, how words become labels, what calibration takes out, and mistakes told in a sentence."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.adaptation import Split, read_split
from isoflop.adaptation.few_labels import (
    CausalModel,
    Prompt,
    Template,
    Verbalizer,
    prompt,
    read_causal,
    template_of,
    verbalizer_of,
)
from isoflop.adaptation.few_labels.calibration import calibrated, label_probabilities, prior
from isoflop.adaptation.few_labels.prompts import draw_shots, make_prompts, shots_text
from isoflop.errors import UserError
from isoflop.models import Decoder, build_model, parametrization
from isoflop.shapes import ModelShape

TEMPLATE = template_of("{text} it")
WORDS = Verbalizer(("bad", "good"), (("dull",), ("bright", "lovely film")))


@pytest.fixture(scope="module")
def causal(decoder: Path) -> CausalModel:
    """An untrained decoder with a real tokenizer, and a context that shots fit into."""
    tokenizer = read_causal(decoder).tokenizer
    shape = ModelShape(layers=1, width=16, heads=2, ffn=32, vocab=tokenizer.get_vocab_size(), context=128)
    model, _ = build_model(shape, parametrization("sp"), base=shape, seed=0)
    assert isinstance(model, Decoder)
    return CausalModel(model.eval(), tokenizer, shape.context)


@pytest.fixture(scope="module")
def split(tables: dict[str, Path]) -> Split:
    return read_split(tables["train"], test=tables["test"])


def test_a_template_as_it_is_typed() -> None:
    assert template_of(r"Review: {text}\nIt was") == Template("Review: {text}\nIt was {label}")
    template = template_of("{text} = {label}.")
    assert (template.asking("a {label}"), template.space) == ("a {label} =", " ")
    assert template.filled("a {label}", "b") == "a {label} = b."


@pytest.mark.parametrize("form", ["no text", "{text} {text}", "{text} {label} {label}"])
def test_a_template_needs_one_text_and_one_label(form: str) -> None:
    with pytest.raises(UserError, match="once"):
        template_of(form)


def test_a_label_before_the_text_is_no_prompt() -> None:
    with pytest.raises(UserError, match="reads forwards"):
        template_of("{label}: {text}").asking("a")


def test_words_of_labels_are_typed_or_the_names() -> None:
    assert verbalizer_of("1=good|fine, 0=bad", ("0", "1")).words == (("bad",), ("good", "fine"))
    assert verbalizer_of(None, ("lost_card", "ok")).words == (("lost card",), ("ok",))


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (None, "The label '0' is no word"),
        ("0=bad", "no word for the label '1'"),
        ("0=bad,1=", "no word for the label '1'"),
        ("0=bad,2=good", "has '2=good'"),
        ("0=bad,0=good", "has '0=good'"),
        ("0=bad,1=bad", "'bad' stands for a label twice"),
    ],
)
def test_words_that_cannot_be_are_refused(typed: str | None, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        verbalizer_of(typed, ("0", "1"))


def test_shots_are_balanced_drawn_by_the_seed_and_from_train(split: Split) -> None:
    rows = draw_shots(split, 5, seed=3)
    assert rows == draw_shots(split, 5, seed=3) != draw_shots(split, 5, seed=4)
    answers = [split.answers("train")[row] for row in rows]
    assert sorted([answers.count(0), answers.count(1)]) == [2, 3]
    first = shots_text(split, rows, TEMPLATE, WORDS).split("\n\n")[0]
    assert first == f"{split.train.texts[rows[0]]} it {('dull', 'bright')[answers[0]]}"
    with pytest.raises(UserError, match="ask for fewer with --shots"):
        draw_shots(split, 400, seed=0)


def test_a_prompt_and_a_word_are_spelled_as_one_text(causal: CausalModel) -> None:
    asked = make_prompts(causal, ["a film"], shots="", template=TEMPLATE, verbalizer=WORDS).continuations[0]
    for one, word in zip(asked, ("dull", "bright", "lovely film"), strict=True):
        assert list(one.before + one.behind) == causal.tokenizer.encode(f"a film it {word}").ids
        assert causal.tokenizer.decode(one.before) == "a film it"


def test_a_long_text_loses_its_end_and_is_counted(causal: CausalModel) -> None:
    texts = ["start " + "word " * 200 + "end", "short"]
    prompts = make_prompts(causal, texts, shots="", template=TEMPLATE, verbalizer=WORDS)
    assert prompts.cut == 1
    longest = max(prompts.continuations[0], key=lambda one: len(one.read))
    assert causal.context - 8 < len(longest.read) <= causal.context
    said = causal.tokenizer.decode(longest.before)
    assert said.startswith("start")
    assert said.endswith(" it")
    with pytest.raises(UserError, match="fewer --shots"):
        make_prompts(causal, texts, shots="word " * 200, template=TEMPLATE, verbalizer=WORDS)


def test_a_label_has_the_mean_probability_of_its_words() -> None:
    scores = np.log([[0.2, 0.1, 0.5]])
    assert label_probabilities(scores, [1, 2])[0] == pytest.approx([0.4, 0.6])
    by_token = label_probabilities(np.log([[0.25, 0.25]]), [1, 1], np.array([[1, 2]]))
    assert by_token[0] == pytest.approx([1 / 3, 2 / 3])


def test_calibration_makes_a_text_that_says_nothing_undecided() -> None:
    nothing = np.array([[0.9, 0.1], [0.7, 0.3]])
    assert calibrated(prior(nothing)[None], prior(nothing))[0] == pytest.approx([0.5, 0.5])
    assert calibrated(np.array([[0.75, 0.25]]), prior(nothing))[0] == pytest.approx([3 / 7, 4 / 7])
    certain = calibrated(np.array([[1.0, 0.0]]), np.array([1.0, 0.0]))
    assert np.isfinite(certain).all()


def test_predictions_and_figures_are_saved_and_agree(causal: CausalModel, split: Split, tmp_path: Path) -> None:
    how = Prompt(TEMPLATE, WORDS, shots=2, calibration="batch")
    told: list[float] = []
    result = prompt(causal, split, how, out=tmp_path / "out", tell=told.append)
    assert told[-1] == 1
    with (tmp_path / "out" / "predictions-test.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = np.mean([row["label"] == row["predicted"] for row in rows])
    assert right == pytest.approx(result.scores["test"]["batch"].accuracy)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["scores"]["test"]["none"]["accuracy"] == result.scores["test"]["none"].accuracy
    assert metrics["shots"] == list(result.shots)
    again = prompt(causal, split, how, out=tmp_path / "out")
    assert again.scores == result.scores
    assert result.floor is None or result.floor.scores["test"].accuracy > 0.9
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="choose another --out"):
        prompt(causal, split, how, out=tmp_path / "other")


@pytest.mark.parametrize(("settings", "flag"), [({"shots": -1}, "--shots"), ({"calibration": "all"}, "--calibrate")])
def test_settings_that_cannot_be_are_refused(settings: Any, flag: str) -> None:
    with pytest.raises(UserError, match=flag):
        Prompt(TEMPLATE, WORDS, **settings)
