"""Fine-tuning from end to end on tiny models of the project's own making."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from isoflop.adaptation import (
    Diverged,
    EpochEnded,
    HeadOnly,
    Lora,
    Ready,
    Recipe,
    Result,
    Stepped,
    TextClassifier,
    finetune,
    load_classifier,
    read_split,
)
from isoflop.adaptation.finetuning import Event
from isoflop.adaptation.pretrained import tokenize
from isoflop.adaptation.split import Split
from isoflop.errors import UserError
from isoflop.models import from_hugging_face, load_model, to_hugging_face
from isoflop.runs import describe_runs, read_curve, read_run

FAST = {"learning_rate": 5e-3, "batch": 16, "epochs": 3}


def result_of(events: Iterator[Event]) -> Result:
    *_, last = events
    assert isinstance(last, Result)
    return last


@pytest.fixture(scope="module")
def split(tables: dict[str, Path]) -> Split:
    return read_split(tables["train"], dev=tables["dev"], test=tables["test"])


@pytest.fixture(scope="module")
def finetuned(encoder: Path, split: Split, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The folder of a fine-tuned encoder, and its result. Don't change it."""
    out = tmp_path_factory.mktemp("finetuned") / "out"
    return out, result_of(finetune(encoder, split, out=out, recipe=Recipe(**FAST)))


def test_an_encoder_learns_a_separable_table(finetuned: tuple[Path, Result]) -> None:
    result = finetuned[1]
    assert result.scores["dev"].accuracy >= 0.95
    assert result.scores["test"].accuracy >= 0.95


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_decoder_learns_it_too(decoder: Path, split: Split, tmp_path: Path, pooling: Any) -> None:
    recipe = Recipe(learning_rate=1e-2, batch=16, epochs=4, pooling=pooling)
    assert result_of(finetune(decoder, split, out=tmp_path, recipe=recipe)).scores["test"].accuracy >= 0.95


def test_the_floor_is_fitted_on_the_same_split(finetuned: tuple[Path, Result]) -> None:
    pytest.importorskip("sklearn")
    floor = finetuned[1].floor
    assert floor is not None
    assert floor.scores["test"].accuracy == 1.0  # each review has a word of its label's
    assert floor.scores["test"].examples == 100


def test_the_saved_folder_predicts_what_was_evaluated(finetuned: tuple[Path, Result], split: Split) -> None:
    out, result = finetuned
    guesses = load_classifier(out).predict(split.parts["test"].texts)
    with (out / "predictions-test.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [guess.label for guess in guesses] == [row["predicted"] for row in rows]
    theirs = [float(row["probability"]) for row in rows]
    assert [guess.probability for guess in guesses] == pytest.approx(theirs, abs=1e-5)
    hits = sum(guess.label == label for guess, label in zip(guesses, split.parts["test"].labels, strict=True))
    assert hits / 100 == result.scores["test"].accuracy


def test_the_folder_holds_record_curve_card_and_a_model_that_loads(finetuned: tuple[Path, Result]) -> None:
    out, result = finetuned
    run = read_run(out)
    assert (run.role, run.status, run.corpus_hash) == ("finetune", "finished", result.data_hash)
    assert run.loss == pytest.approx(result.scores["dev"].nats)
    assert len(read_curve(out)) == 60  # 20 steps an epoch, 3 epochs
    assert list(out.glob("events.out.tfevents.*"))
    card = (out / "model" / "README.md").read_text(encoding="utf-8")
    assert result.data_hash in card
    assert f"{result.scores['test'].accuracy:.4f}" in card
    assert load_model(out / "model")[1].tokenizer is not None
    assert [one["role"] for one in describe_runs(out)] == ["finetune"]
    assert not (out / ".finetune.ckpt").exists()


LORA = Lora(rank=4, targets=("qkv", "out", "up", "down"))


@pytest.mark.parametrize(("method", "rate", "least"), [(HeadOnly(), 2e-3, 0.0), (LORA, 2e-2, 0.8)])
def test_a_method_leaves_what_it_does_not_train(
    method: Any, rate: float, least: float, encoder: Path, split: Split, tmp_path: Path
) -> None:
    recipe = Recipe(method, rate, 16, 3)
    events = list(finetune(encoder, split, out=tmp_path / "out", recipe=recipe))
    ready, result = events[0], events[-1]
    assert isinstance(ready, Ready)
    assert ready.trained < 0.15 * ready.params  # of one layer 32 wide; of a real model's weights it is far less
    before, after = dict(load_model(encoder)[0].named_parameters()), load_model(tmp_path / "out" / "model")[0]
    changed = {name for name, weight in after.named_parameters() if not torch.equal(weight, before[name])}
    layers = ("attention.qkv", "attention.out", "feed_forward.up", "feed_forward.down")
    assert changed == ({f"blocks.0.{one}.weight" for one in layers} if isinstance(method, Lora) else set())
    losses = [point.loss for point in read_curve(tmp_path / "out")]
    assert sum(losses[-20:]) < sum(losses[:20])
    assert isinstance(result, Result)
    assert result.scores["test"].accuracy >= least


def test_an_interrupted_training_comes_to_the_same_weights(
    encoder: Path, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(learning_rate=5e-3, batch=16, epochs=1)
    whole = result_of(finetune(encoder, split, out=tmp_path / "whole", recipe=recipe))
    monkeypatch.setattr("isoflop.adaptation.finetuning.CHECKPOINT_SECONDS", 0.0)
    for event in finetune(encoder, split, out=tmp_path / "parts", recipe=recipe):
        if isinstance(event, Stepped) and event.step == 8:
            break  # the state of step 7 is on disk
    events = list(finetune(encoder, split, out=tmp_path / "parts", recipe=recipe))
    assert isinstance(events[0], Ready)
    assert events[0].begun == 7
    assert isinstance(events[-1], Result)
    assert events[-1].scores == whole.scores
    again = list(finetune(encoder, split, out=tmp_path / "parts", recipe=recipe))
    assert len(again) == 1  # all done: read from disk
    assert result_of(iter(again)).scores == whole.scores
    with pytest.raises(UserError, match=r"another .*recipe"):
        list(finetune(encoder, split, out=tmp_path / "parts", recipe=Recipe(seed=1)))


def test_dev_is_measured_after_every_epoch_on_the_weights_of_then(encoder: Path, split: Split, tmp_path: Path) -> None:
    events = list(finetune(encoder, split, out=tmp_path, recipe=Recipe(learning_rate=5e-3, epochs=2)))
    ended = [event for event in events if isinstance(event, EpochEnded)]
    result = events[-1]
    assert isinstance(result, Result)
    assert [one.epoch for one in ended] == [1, 2]
    assert ended[-1].nats == pytest.approx(result.scores["dev"].nats, abs=1e-6)


def test_a_hugging_face_checkpoint_is_fine_tuned_like_the_model_it_came_from(
    decoder: Path, split: Split, tmp_path: Path
) -> None:
    model, info = load_model(decoder)
    to_hugging_face(model, tmp_path / "stock", tokenizer=info.tokenizer)
    assert from_hugging_face(tmp_path / "stock")[1].shape.stack == "decoder"
    recipe = Recipe(learning_rate=5e-3, batch=16, epochs=1)
    ours = result_of(finetune(decoder, split, out=tmp_path / "ours", recipe=recipe))
    theirs = result_of(finetune(tmp_path / "stock", split, out=tmp_path / "theirs", recipe=recipe))
    assert theirs.scores["dev"].nats == pytest.approx(ours.scores["dev"].nats, abs=2e-2)


def test_a_training_that_diverges_says_so_and_saves_no_model(encoder: Path, split: Split, tmp_path: Path) -> None:
    recipe = Recipe(learning_rate=1e3, epochs=1)
    for _ in range(2):  # the second time from what the first has written
        *_, last = finetune(encoder, split, out=tmp_path / "out", recipe=recipe)
        assert isinstance(last, Diverged)
    run = read_run(tmp_path / "out")
    assert (run.status, run.loss) == ("diverged", None)
    assert "training loss" in run.note
    assert not (tmp_path / "out" / "model").exists()


def test_long_texts_are_cut_at_the_end_and_counted(encoder: Path, tmp_path: Path, write_table: Any) -> None:
    rows = [("lovely " + "film " * 60, "good"), ("awful", "bad")] * 4
    path = write_table(tmp_path / "t.csv", rows)
    recipe = Recipe(epochs=1, longest=8)
    ready = next(finetune(encoder, read_split(path, test=path), out=tmp_path / "out", recipe=recipe))
    assert isinstance(ready, Ready)
    assert "4 of the 8 texts of train are longer than 8 tokens: their ends were cut." in ready.notes
    with pytest.raises(UserError, match="the model reads 32 tokens"):
        next(finetune(encoder, read_split(path, test=path), out=tmp_path / "o", recipe=Recipe(longest=33)))


def test_lengths_set_in_a_tokenizer_file_cut_nothing(encoder: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    from isoflop.adaptation.pretrained import read_pretrained

    copy = shutil.copytree(encoder, tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4)
    tokenizer.save(str(copy / "tokenizer.json"))
    found = tokenize(read_pretrained(copy).tokenizer, ["a lovely film of the actor", "a"], longest=32)
    assert len(found.sequences[0]) > 4
    assert len(found.sequences[1]) < 4
    assert found.cut == 0


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [("missing", "no tokenizer.json"), ("small", "it is another model's"), ("none", "has no .*config.json")],
)
def test_a_model_without_its_tokenizer_is_refused(
    damage: str, sentence: str, encoder: Path, split: Split, tmp_path: Path
) -> None:
    copy = shutil.copytree(encoder, tmp_path / "model")
    tokenizer = copy / "tokenizer.json"
    if damage == "missing":
        tokenizer.unlink()
    elif damage == "small":
        five = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "[MASK]": 4}
        record = {"version": "1.0", "model": {"type": "WordLevel", "vocab": five, "unk_token": "[UNK]"}}
        tokenizer.write_text(json.dumps(record))
    else:
        (copy / "model.json").unlink()
    with pytest.raises(UserError, match=sentence):
        next(finetune(copy, split, out=tmp_path / "out"))


def test_predicting_refuses_an_empty_text_and_a_folder_of_another_kind(
    finetuned: tuple[Path, Result], encoder: Path
) -> None:
    classifier: TextClassifier = load_classifier(finetuned[0])
    with pytest.raises(UserError, match="Text 2 is empty"):
        classifier.predict(["fine", " "])
    with pytest.raises(UserError, match="isoflop finetune made"):
        load_classifier(encoder)


def test_a_model_that_was_fine_tuned_can_be_fine_tuned_again(
    finetuned: tuple[Path, Result], split: Split, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=1, learning_rate=1e-3)
    result = result_of(finetune(finetuned[0], split, out=tmp_path / "again", recipe=recipe))
    assert result.scores["test"].accuracy >= 0.95
