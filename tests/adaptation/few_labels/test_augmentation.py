"""Augmentation: each way changes what it says it changes, and what is measured on never gets into train."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from isoflop.adaptation import Files, Split, read_split, task_named
from isoflop.adaptation.few_labels.augmentation import augment, with_added, write_origins
from isoflop.adaptation.few_labels.model_words import MaskedWords, embedding_synonyms, word_tokens
from isoflop.adaptation.few_labels.rewriting import (
    BackTranslation,
    RandomEdit,
    Synonyms,
    join_words,
    read_synonyms,
    split_words,
)
from isoflop.adaptation.pretrained import Pretrained, read_pretrained
from isoflop.errors import UserError
from isoflop.models import Batch, ModelInfo, build_model, parametrization
from isoflop.shapes import ModelShape

WORDS = ("bright", "dull", "film", "story", "lovely", "awful", "the", "very")
TEXT = "A lovely film, very long. 很好看 indeed"


@pytest.fixture
def split(tmp_path: Path, write_table: Callable[..., Path]) -> Split:
    train = write_table(tmp_path / "train.csv", [("a fine film of note", "1"), ("dull and long", "0")])
    return read_split(train, test=write_table(tmp_path / "test.csv", [("Fine  film", "1"), ("awful", "0")]))


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    """An untrained encoder whose tokens are words."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    marks = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate((*marks, *WORDS, "##ly"))}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    tokenizer.save(str(path))
    size = tokenizer.get_vocab_size()
    shape = ModelShape(layers=1, width=16, heads=2, ffn=32, vocab=size, context=16, stack="encoder")
    model, _ = build_model(shape, parametrization("sp"), base=shape, seed=0)
    return Pretrained(model, ModelInfo(shape, "sp", None, "masked", path), tokenizer, ())


def test_words_and_their_spaces_make_the_text_again() -> None:
    words, spaces = split_words("  " + TEXT + "\n")
    assert words[:3] == ["A", "lovely", "film,"]
    assert words[5:8] == ["很", "好", "看"]
    assert join_words(words, spaces) == TEXT


@pytest.mark.parametrize("edit", ["swap", "delete", "insert"])
def test_an_edit_is_what_it_is_called(edit: str) -> None:
    way = RandomEdit(0.3, (edit,))  # type: ignore[arg-type]
    before = split_words(TEXT)[0]
    changed = 0
    for seed in range(20):
        (after,) = (split_words(text)[0] for text in way.rewrite([TEXT], random.Random(seed)))
        grown = len(after) - len(before)
        assert grown == {"swap": 0, "delete": -3, "insert": 3}[edit]
        assert set(after) <= set(before)
        changed += after != before
        if edit == "swap":
            assert sorted(after) == sorted(before)
    assert changed >= 18
    assert way.rewrite(["one"], random.Random(0)) == ["one"]


def test_synonyms_keep_punctuation_and_capitals() -> None:
    way = Synonyms({"lovely": ("charming",), "a": ("one",)}, share=0.9)
    assert way.rewrite(["A lovely, film", "none"], random.Random(0)) == ["One charming, film", "none"]


def test_synonyms_are_read_from_lines_and_from_json(tmp_path: Path) -> None:
    (tmp_path / "s.tsv").write_text("Good\tfine, nice\nbad\tpoor\n")
    (tmp_path / "s.json").write_text(json.dumps({"Good": ["fine", "nice"], "bad": ["poor"]}))
    wanted = {"good": ("fine", "nice"), "bad": ("poor",)}
    assert read_synonyms(tmp_path / "s.tsv") == read_synonyms(tmp_path / "s.json") == wanted
    (tmp_path / "bad.tsv").write_text("good\tfine\nno tab here\n")
    with pytest.raises(UserError, match="line 2: write a word, a tab"):
        read_synonyms(tmp_path / "bad.tsv")


def test_words_are_put_where_the_model_finds_them_likeliest(worded: Pretrained) -> None:
    text = "very film very story"
    (new,) = MaskedWords(worded, share=0.1, most=1).rewrite([text], random.Random(1))
    pairs = list(zip(text.split(), new.split(), strict=True))
    (at,) = [at for at, (old, now) in enumerate(pairs) if old != now]
    ids = worded.tokenizer.encode(text).ids
    marked = [2, *ids[:at], 4, *ids[at + 1 :], 3]  # [CLS], one [MASK], [SEP]
    row = torch.tensor([marked])
    with torch.no_grad():
        logits_V = worded.model.eval()(Batch(row, row))[0, at + 1]
    known = word_tokens(worded.tokenizer)
    assert set(known.values()) == set(WORDS)
    likeliest = [known[n] for n in logits_V.argsort(descending=True).tolist() if n in known]
    assert new.split()[at] == next(word for word in likeliest[:2] if word != text.split()[at])


def test_a_model_without_such_a_head_replaces_no_words(decoder: Path) -> None:
    with pytest.raises(UserError, match="not trained to name hidden words"):
        MaskedWords(read_pretrained(decoder))


def test_near_words_are_those_of_the_largest_cosine(worded: Pretrained) -> None:
    weight = worded.model.embedding.weight
    with torch.no_grad():
        weight[worded.tokenizer.token_to_id("dull")] = 3 * weight[worded.tokenizer.token_to_id("bright")]
    found = embedding_synonyms(worded, ["Bright unknown"], most=2, least=0.99)
    assert found == {"bright": ("dull",)}


def test_back_translation_takes_what_two_translators_say() -> None:
    way = BackTranslation(
        lambda texts: [t.upper() for t in texts], lambda texts: ["" if "X" in t else t for t in texts]
    )
    assert way.rewrite(["a b", "x"], random.Random(0)) == ["A B", "x"]


def test_train_grows_with_origins_and_nothing_of_test_gets_in(split: Split, tmp_path: Path) -> None:
    way = RandomEdit(0.5, ("delete",))
    larger = augment(split, way, copies=8, seed=0)
    texts = larger.split.train.texts
    assert texts[:2] == split.train.texts
    assert len(texts) > 4
    assert len({text.lower() for text in texts}) == len(texts)
    assert not {" ".join(text.lower().split()) for text in texts} & {"fine film", "awful"}
    assert larger.split.parts["test"] == split.parts["test"]
    assert not larger.split.warnings
    assert augment(split, way, copies=8, seed=0).split.hash == larger.split.hash
    write_origins(tmp_path / "train-used.csv", larger.split.train)
    with (tmp_path / "train-used.csv").open() as file:
        rows = list(csv.DictReader(file))
    origin = {"line 2, random edit": "1", "line 3, random edit": "0"}
    assert all(origin[row["origin"]] == row["label"] for row in rows[2:])


def test_what_is_in_test_is_counted_and_left_out(split: Split) -> None:
    added = split.train.take([0, 1])
    larger, leaked = with_added(split, replace(added, texts=("fine FILM", "a new one")))
    assert (larger.train.texts[2:], leaked) == (("a new one",), 1)


def test_examples_that_are_no_single_texts_are_refused(tmp_path: Path, write_table: Callable[..., Path]) -> None:
    pairs = write_table(tmp_path / "p.csv", [("a", "b", "1"), ("c", "d", "0")], header=("text", "text2", "label"))
    split = task_named("pairs", {}).read(Files(pairs, None, pairs))
    with pytest.raises(UserError, match="not examples of the task 'pairs'"):
        augment(split, RandomEdit())
