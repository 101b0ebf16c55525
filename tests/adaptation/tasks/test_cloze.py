"""Cloze questions: the pretrained head tells labels by words, learns from few texts, and is saved as it was trained."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isoflop.adaptation import Files, Ready, Recipe, Result, finetune, task_named
from isoflop.adaptation.few_labels.cloze import patterns_of, questions_of, word_tokens
from isoflop.adaptation.few_labels.template import template_of, verbalizer_of
from isoflop.adaptation.pretrained import read_pretrained
from isoflop.adaptation.saved import load_adapted
from isoflop.adaptation.tasks.cloze import ClozeClassifier
from isoflop.errors import UserError
from isoflop.models import Batch, Encoder

SETTINGS: dict[str, Any] = {"template": "{text}:{label}", "verbalizer": "good=g|h,bad=b"}


@pytest.fixture(scope="module", params=["encoder", "decoder"])
def trained(
    request: pytest.FixtureRequest, tables: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """A folder and the result of a cloze fine-tuning, of an encoder and of a decoder."""
    out = tmp_path_factory.mktemp("cloze")
    split = task_named("cloze", SETTINGS).read(Files(tables["train"], tables["dev"], tables["test"]))
    recipe = Recipe(epochs=6, learning_rate=1e-2, batch=16, precision="fp32")
    *_, result = finetune(request.getfixturevalue(request.param), split, out=out, recipe=recipe)
    assert isinstance(result, Result)
    return out, result


def test_the_words_of_the_pretrained_head_learn_the_labels(trained: tuple[Path, Result]) -> None:
    assert trained[1].scores["test"].figures["accuracy"] >= 0.95


def test_what_was_saved_says_the_same_as_the_model_itself_asked_by_hand(trained: tuple[Path, Result]) -> None:
    found = load_adapted(trained[0])
    assert isinstance(found, ClozeClassifier)
    said = found.rows([("the lovely film",), ("the awful [MASK] story",)])
    assert [row[0] for row in said] == ["good", "bad"]
    body, (questions,) = found.model.body.eval(), found.patterns.questions
    tokens = questions.tokens(["the lovely film"]).sequences[0]
    place = tokens.index(questions.asked) if questions.asked is not None else len(tokens) - 1
    row = torch.tensor([tokens])
    with torch.no_grad():
        logits_V = body(Batch(row, row))[0, place].double()
    g, h, b = (questions.tokenizer.encode(letter, add_special_tokens=False).ids[0] for letter in "ghb")
    good = torch.logsumexp(logits_V[[g, h]], dim=0) - np.log(2)
    wanted = torch.sigmoid(good - logits_V[b])
    assert float(said[0][1]) == pytest.approx(float(wanted), abs=1e-5)


def test_a_question_has_one_mask_between_the_marks_and_a_long_text_loses_its_end(encoder: Path) -> None:
    pretrained = read_pretrained(encoder)
    assert isinstance(pretrained.model, Encoder)
    questions = questions_of(pretrained.tokenizer, pretrained.info, template_of("{text} it{label}!"), longest=24)
    found = questions.tokens(["a [MASK] b", "word " * 40])
    assert found.cut == 1
    cls, mask, sep = (pretrained.tokenizer.token_to_id(mark) for mark in ("[CLS]", "[MASK]", "[SEP]"))
    for tokens in found.sequences:
        assert (tokens[0], tokens[-1], tokens.count(mask)) == (cls, sep, 1)
        assert pretrained.tokenizer.decode(tokens[tokens.index(mask) + 1 : -1]) == "!"
    assert 20 < len(found.sequences[1]) <= 24
    with pytest.raises(UserError, match="shorten the template"):
        questions_of(pretrained.tokenizer, pretrained.info, template_of("word " * 20 + "{text}"), longest=24).tokens(
            ["a"]
        )


def test_what_cannot_be_asked_is_refused(encoder: Path, decoder: Path) -> None:
    reads = read_pretrained(encoder)
    headless = replace(reads.info, objective="none")
    with pytest.raises(UserError, match="not trained to name hidden words"):
        questions_of(reads.tokenizer, headless, template_of("{text}"), longest=24)
    writes = read_pretrained(decoder)
    for form, sentence in (("{text} it {label} was", "goes on behind"), ("{label}: {text}", "reads forwards")):
        with pytest.raises(UserError, match=sentence):
            questions_of(writes.tokenizer, writes.info, template_of(form), longest=24)


def test_a_word_of_several_tokens_is_refused(encoder: Path) -> None:
    words = verbalizer_of("0=terrible,1=g", ("0", "1"))
    with pytest.raises(UserError, match="'terrible' is not one token"):
        word_tokens(read_pretrained(encoder).tokenizer, template_of("{text}:{label}"), words)


def test_several_patterns_are_all_learnt_and_their_mean_logits_tell(
    encoder: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    forms = ["{text}:{label}", "so{label}:{text}", "{text} it{label}!"]
    split = task_named("cloze", SETTINGS | {"template": forms}).read(Files(tables["train"], tables["dev"], None))
    recipe = Recipe(epochs=2, learning_rate=1e-2, batch=16, precision="fp32")
    ready, *_, result = finetune(encoder, split, out=tmp_path / "out", recipe=recipe)
    assert isinstance(ready, Ready)
    assert ready.steps == 2 * -(-3 * len(split.train) // 16)
    assert isinstance(result, Result)
    assert result.scores["dev"].figures["accuracy"] >= 0.9
    found = load_adapted(tmp_path / "out")
    assert isinstance(found, ClozeClassifier)
    found.model.eval()
    texts = ["the lovely film", "an awful and much longer story"]
    for text, guess in zip(texts, found.predict(texts), strict=True):
        rows = [torch.tensor([one.tokens([text]).sequences[0]]) for one in found.patterns.questions]
        with torch.no_grad():
            logits_PK = torch.cat([found.model(Batch(row, row))[:, 0] for row in rows]).double()
        told_K = torch.softmax(logits_PK.mean(dim=0), dim=-1)
        assert guess.label == found.labels[int(told_K.argmax())]
        assert guess.probability == pytest.approx(float(told_K.max()), abs=1e-5)


@pytest.mark.parametrize(
    ("forms", "sentence"),
    [
        (["{text}:{label}", "{text}:{label}"], "is there twice"),
        (["{text}:{label}", "{text}: {label}"], "other tokens in '{text}: {label}'"),
    ],
)
def test_patterns_that_do_not_go_together_are_refused(forms: list[str], sentence: str, encoder: Path) -> None:
    reads = read_pretrained(encoder)
    words = verbalizer_of("0=t,1=a", ("0", "1"))
    with pytest.raises(UserError, match=re.escape(sentence)):
        patterns_of(reads.tokenizer, reads.info, (list(map(template_of, forms)), words), longest=24)


def test_a_setting_given_again_is_refused_where_there_can_be_one() -> None:
    with pytest.raises(UserError, match="verbalizer is given 2 times"):
        task_named("cloze", {"verbalizer": ["0=b,1=g", "0=c,1=h"]})
