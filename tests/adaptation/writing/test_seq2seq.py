"""Pairs are learnt by both kinds of models, from both kinds of files, and what is saved writes the same."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from adaptation.writing.conftest import SHAPE, pairs
from isoflop.adaptation import Files, Recipe, finetune, load_adapted, method_named, read_result, read_split, task_named
from isoflop.adaptation.examination import evaluate_task
from isoflop.adaptation.few_labels.model_words import translator
from isoflop.adaptation.few_labels.rewriting import BackTranslation
from isoflop.adaptation.parallel_text import read_pairs
from isoflop.adaptation.scratch import first_model
from isoflop.adaptation.tasks.seq2seq import text_scores
from isoflop.cli.few_labels_options import FewLabels
from isoflop.errors import UserError
from isoflop.evaluation.evaluated import intervals_of
from isoflop.evaluation.intervals import Resampling
from isoflop.generation import Beams, Decoding, Greedy, read_generator

pytest.importorskip("sacrebleu")


@pytest.mark.parametrize("stack", ["encoder_decoder", "decoder"])
def test_a_translation_is_learnt_and_the_saved_model_writes_it(
    side_by_side: Path, learn: Callable[..., object], stack: str
) -> None:
    files = Files(side_by_side / "train.en", dev=side_by_side / "dev.en")
    result = learn("seq2seq", files, {"target": "de", "answer": 24, "beams": 2}, stack=stack)
    figures, floor = result.scores["dev"].figures, result.floor.scores["dev"].figures
    assert figures["chrF"] > floor["chrF"] + 40
    assert set(figures) == {"BLEU", "chrF", "exact"}
    with (side_by_side / "out" / "predictions-dev.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    sources = [row["source"] for row in rows]
    generator = read_generator(side_by_side / "out")
    written = generator.write(sources, Decoding(Beams(2), 24))
    assert [one.text.strip() for one in written] == [row["written"] for row in rows]
    greedy = [one.text.strip() for one in generator.write(sources, Decoding(Greedy(), 24))]
    saved = load_adapted(side_by_side / "out")
    assert [row[0] for row in saved.rows([(one,) for one in sources])] == greedy
    evaluated, (examined,) = evaluate_task(
        side_by_side / "out", side_by_side / "dev.en", settings={"target": "de"}, resampling=Resampling(draws=200)
    )
    assert [row[2] for row in examined.rows] == greedy
    assert {one.name: one.of[0].value for one in evaluated.figures} == pytest.approx(examined.scores.figures)
    for name, (low, high) in result.intervals["dev"].items():
        assert low <= figures[name] <= high
        assert low < high
    assert read_result(side_by_side / "out").intervals == result.intervals
    translate = translator(side_by_side / "out", longest=24)
    learnt = dict(pairs(0, 30))
    right = [one for one, found in zip(learnt, translate(list(learnt)), strict=True) if found == learnt[one]]
    assert len(right) > 15
    english = {german: one for one, german in learnt.items()}
    there_and_back = BackTranslation(translate, lambda texts: [english[text] for text in texts])
    assert there_and_back.rewrite(right, random.Random(0)) == right
    assert translate([sources[0], " ", sources[1] * 99, sources[2]]) == [greedy[0], "", "", greedy[2]]


def test_texts_with_labels_are_augmented_by_models_that_were_fine_tuned_to_translate(
    side_by_side: Path, learn: Callable[..., object], tmp_path: Path, write_table: Callable[..., Path]
) -> None:
    files = Files(side_by_side / "train.en", dev=side_by_side / "dev.en")
    learn("seq2seq", files, {"target": "de", "answer": 12}, stack="encoder_decoder", epochs=12)
    table = write_table(tmp_path / "t.csv", [("one two", "1"), ("two " * 99, "0"), ("six", "1")])
    split = read_split(table, dev=write_table(tmp_path / "d.csv", [("one", "1"), ("two", "0")]))
    folder = tmp_path / "out"
    larger = FewLabels([f"back={folder},{folder}"], None, 0.9).enlarged(split, seed=0)
    translate = translator(folder)
    twice = translate(translate(split.train.texts))
    expected = [new or old for old, new in zip(split.train.texts, twice, strict=True)]
    assert twice[1] == ""  # longer than the model reads: it stays as it is, and train has it already
    assert larger.train.texts == tuple(dict.fromkeys((*split.train.texts, *expected)))
    assert len(larger.train) > 3


def test_tables_and_files_side_by_side_give_the_same_pairs(tmp_path: Path) -> None:
    pairs = [("a b", "c"), ("d", "e, f")]
    (tmp_path / "x.en").write_text("a b\nd\n")
    (tmp_path / "x.de").write_text("c\r\ne, f\r\n")
    (tmp_path / "x.csv").write_text('source,target\na b,c\nd,"e, f"\n')
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"article": a, "summary": b}) + "\n" for a, b in pairs))
    for name, columns in (("x.en", {"target": "de"}), ("x.csv", {}), ("x.jsonl", {})):
        found = read_pairs(tmp_path / name, **columns)
        assert list(zip(found.texts, found.labels, strict=True)) == pairs


def test_a_target_that_is_a_list_has_several_right_answers(tmp_path: Path) -> None:
    row = {"source": ["One.", "Two."], "target": ["First one.", "Another."]}
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    found = read_pairs(tmp_path / "x.jsonl")
    assert (found.texts, found.labels) == (("One. Two.",), (("First one.", "Another."),))


@pytest.mark.parametrize(
    ("files", "columns", "message"),
    [
        ({"x.en": "a\nb\n", "x.de": "c\n"}, {"target": "de"}, r"2 lines and .*x.de has 1"),
        ({"x.en": "a\n\n", "x.de": "c\nd\n"}, {"target": "de"}, "line 2: en is empty"),
        ({"x.en": "a\n"}, {"target": "de"}, "no targets beside it"),
        ({"x.en": "a\n"}, {}, "--option target=de"),
        ({"x.csv": "source,target\na,\n"}, {}, "line 2: target is empty"),
        ({"x.csv": "foo,bar\na,b\n"}, {}, "no column with a usual name of a source"),
        ({"x.csv": "source,bar\na,b\n"}, {"target": "baz"}, "no column 'baz'"),
        ({"x.csv": "source,target\n"}, {}, "no rows"),
        ({}, {}, "no file|no table"),
    ],
)
def test_pairs_that_are_none_are_told_with_their_place(
    tmp_path: Path, files: dict[str, str], columns: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_pairs(tmp_path / next(iter(files), "x.en"), **columns)


def test_settings_that_can_not_be_are_refused() -> None:
    for setting, message in (
        ({"metric": "meteor"}, "choose bleu or rouge"),
        ({"prompt": "Translate"}, "{source}"),
        ({"answer": "0"}, "must be at least 1"),
    ):
        with pytest.raises(UserError, match=message):
            task_named("seq2seq", setting)


def test_a_method_that_would_train_nothing_is_refused(side_by_side: Path, tmp_path: Path) -> None:
    files = Files(side_by_side / "train.en", dev=side_by_side / "dev.en")
    split = task_named("seq2seq", {"target": "de"}).read(files)
    (tmp_path / "shape.toml").write_text(SHAPE.format(stack="decoder", context=64))
    model = first_model(tmp_path / "shape.toml", split, tmp_path / "start", seed=0)
    with pytest.raises(UserError, match=r"start was not made to translate: name a model"):
        translator(model)
    with pytest.raises(UserError, match=r"--method head would train nothing.*choose full, lora, dora, prefix, prompt"):
        next(finetune(model, split, out=tmp_path / "out", recipe=Recipe(method=method_named("head"))))


def test_figures_of_chinese_have_intervals_and_are_not_nothing() -> None:
    found = ["一个男人站在梯子上。", "两只狗在雪地里玩。", "没有人。"]
    wanted = ["一个穿蓝衣服的男人站在梯子上。", ("两只狗在玩雪。", "狗。"), "没有人在那里。"]
    for metric, names in (("rouge", ["ROUGE-1", "ROUGE-2", "ROUGE-L"]), ("bleu", ["BLEU", "chrF"])):
        scores = text_scores(found, wanted, metric=metric)
        intervals = intervals_of(scores, Resampling(draws=200))
        for name in names:
            low, high = intervals[name]
            assert 0 < low < scores.figures[name] < high
