"""Fine-tuned models as stock checkpoints: transformers computes the same tags, answers, states and vectors."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)
from typer.testing import CliRunner

from isoflop.adaptation.classifier import Classifier, pooling_for
from isoflop.adaptation.retrieval import read_embedder
from isoflop.adaptation.saved import save_adapted
from isoflop.adaptation.span_answers import SpanModel
from isoflop.adaptation.tasks.multilabel import LabelSetModel
from isoflop.adaptation.tasks.tokens import Tagger
from isoflop.cli.app import app
from isoflop.data.tokens import TokenizerConfig, train_tokenizer
from isoflop.errors import UserError
from isoflop.models import Batch, Encoder, Model, ModelInfo, build_model, parametrization
from isoflop.shapes import ModelShape

BERT = ModelShape(
    layers=2,
    width=32,
    heads=4,
    vocab=300,
    context=24,
    ffn=40,
    stack="encoder",
    norm="layer",
    norm_place="post",
    biases="all",
    positions="learned",
    feed_forward="gelu",
    tied=True,
    segments=2,
    transform=True,
    pooler=True,
)
SHAPES = {
    "as published": BERT,
    "a body alone": dataclasses.replace(BERT, transform=False, pooler=False),
    "norms first, untied": dataclasses.replace(BERT, norm_place="pre", pooler=False, tied=False),
}
TEXTS = ["some words", "words and some other words"]


@pytest.fixture(params=list(SHAPES))
def body(request: pytest.FixtureRequest) -> Model:
    """An encoder in BERT's manner whose weights are all off their start."""
    return build(SHAPES[request.param])


def build(shape: ModelShape) -> Any:
    model, _ = build_model(shape, parametrization("u-mup"), base=shape, seed=0)
    with torch.no_grad():
        for number, weight in enumerate(model.parameters()):
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)), alpha=0.1)
    assert isinstance(model, Encoder)
    return model.eval()


def exported(folder: Path, body: Model, head: dict[str, torch.Tensor], record: dict[str, Any]) -> tuple[Path, str]:
    """The checkpoint of a model that was fine-tuned, and what was said of it."""
    train_tokenizer(iter(TEXTS * 9), TokenizerConfig(vocab=270)).save(str(folder / "tokenizer.json"))
    info = ModelInfo(body.shape, "u-mup", None, "masked", folder / "tokenizer.json")
    save_adapted(folder / "model", body, head, info=info, record=record)
    said = CliRunner().invoke(app, ["export", str(folder), "--out", str(folder / "out")], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return folder / "out", said.stdout


def batches() -> list[Batch]:
    """Two sequences without padding, then with it."""
    inputs = torch.randint(270, (2, 12), generator=torch.Generator().manual_seed(1))
    there = (torch.arange(12) < torch.tensor([[12], [7]])).long()
    return [Batch(inputs, inputs), Batch(inputs, inputs, there)]


def loaded(kind: Any, folder: Path) -> Any:
    model, loading = kind.from_pretrained(folder, output_loading_info=True)
    strange = {*loading["missing_keys"], *loading["unexpected_keys"], *loading["mismatched_keys"]}
    assert all("pooler" in name for name in strange), strange
    return model.eval()


def test_a_tagger_is_a_stock_token_classifier_with_the_names_of_its_tags(body: Model, tmp_path: Path) -> None:
    ours = Tagger(body, 3, seed=1).eval()
    with torch.no_grad():
        ours.head.bias.copy_(torch.tensor([0.5, -1.0, 2.0]))
    record = {"task": "tokens", "labels": ["O", "B-LOC", "I-LOC"], "longest": 24}
    folder, said = exported(tmp_path, body, ours.head.state_dict(), record)
    assert "BertForTokenClassification" in said
    assert "the head of the task 'tokens' is in it" in said
    theirs = loaded(AutoModelForTokenClassification, folder)
    assert theirs.config.id2label == {0: "O", 1: "B-LOC", 2: "I-LOC"}
    for batch in batches():
        with torch.no_grad():
            told = theirs(input_ids=batch.inputs, attention_mask=batch.documents).logits
            mine = ours(batch)
        there = torch.ones_like(batch.inputs) if batch.documents is None else batch.documents
        assert mine.std() > 0.1
        assert (mine - told)[there > 0].abs().max() <= 1e-4


def test_what_answers_questions_is_a_stock_class_that_does(body: Model, tmp_path: Path) -> None:
    ours = SpanModel(body, seed=1).eval()
    folder, said = exported(tmp_path, body, ours.head.state_dict(), {"task": "qa", "longest": 24})
    assert "BertForQuestionAnswering" in said
    theirs = loaded(AutoModelForQuestionAnswering, folder)
    for batch in batches():
        with torch.no_grad():
            told = theirs(input_ids=batch.inputs, attention_mask=batch.documents)
            mine = ours(batch)
        there = torch.ones_like(batch.inputs) if batch.documents is None else batch.documents
        for at, other in enumerate((told.start_logits, told.end_logits)):
            assert (mine[:, at] - other)[there > 0].abs().max() <= 1e-4


@pytest.mark.parametrize(("task", "model"), [("classify", Classifier), ("multilabel", LabelSetModel)])
def test_behind_the_pooler_a_head_is_a_stock_sequence_classifier(task: str, model: Any, tmp_path: Path) -> None:
    body = build(BERT)
    ours = model(body, 3, pooling="pooler", seed=1).eval()
    record = {"task": task, "labels": ["a", "b", "c"], "pooling": "pooler", "longest": 24}
    folder, said = exported(tmp_path, body, ours.head.state_dict(), record)
    assert "BertForSequenceClassification" in said
    theirs, loading = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert theirs.config.problem_type.startswith("multi" if task == "multilabel" else "single")
    for batch in batches():
        with torch.no_grad():
            told = theirs.eval()(input_ids=batch.inputs, attention_mask=batch.documents).logits
            mine = ours(batch).reshape(told.shape)
        assert mine.std() > 1e-3
        assert (mine - told).abs().max() <= 1e-4


def test_a_pooler_is_trained_and_wanted_where_there_is_one_only() -> None:
    ours = Classifier(build(BERT), 3, pooling="pooler")
    unread = {id(weight) for weight in ours.unread()}
    assert not unread & {id(weight) for weight in ours.body.pooler.parameters()}
    with pytest.raises(UserError, match="has no pooler"):
        pooling_for(build(SHAPES["a body alone"]), "pooler")


def test_a_classifier_without_a_stock_class_leaves_its_body(body: Model, tmp_path: Path) -> None:
    record = {"task": "classify", "labels": ["0", "1"], "pooling": "mean", "longest": 24}
    folder, said = exported(tmp_path, body, {"weight": torch.zeros(2, 32), "bias": torch.zeros(2)}, record)
    assert "the head of the task 'classify' (head.safetensors) stays behind" in said
    theirs = loaded(AutoModel, folder)
    for batch in batches():
        with torch.no_grad():
            told = theirs(input_ids=batch.inputs, attention_mask=batch.documents).last_hidden_state
            mine = body.states(batch)
        there = torch.ones_like(batch.inputs) if batch.documents is None else batch.documents
        assert (mine - told)[there > 0].abs().max() <= 1e-4


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_an_embedder_makes_the_same_vectors_by_the_modules_that_it_names(
    pooling: str, body: Model, tmp_path: Path
) -> None:
    record = {"task": "embed", "pooling": pooling, "longest": 16, "temperature": 0.05}
    folder, said = exported(tmp_path, body, {}, record)
    assert "SentenceTransformer(folder)" in said
    modules = json.loads((folder / "modules.json").read_text())
    assert [one["type"].rpartition(".")[2] for one in modules] == ["Transformer", "Pooling", "Normalize"]
    modes = json.loads((folder / modules[1]["path"] / "config.json").read_text())
    assert modes["word_embedding_dimension"] == 32
    chosen = [name for name, is_on in modes.items() if is_on is True]
    assert chosen == [{"mean": "pooling_mode_mean_tokens", "first": "pooling_mode_cls_token"}[pooling]]
    assert json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"] == 16
    theirs, tokenizer = loaded(AutoModel, folder), AutoTokenizer.from_pretrained(folder)
    wanted, _ = read_embedder(tmp_path).vectors(TEXTS)
    for text, vector in zip(TEXTS, wanted, strict=True):
        with torch.no_grad():
            states = theirs(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        pooled = (states.mean(dim=0) if pooling == "mean" else states[0]).numpy()
        assert np.abs(pooled / np.linalg.norm(pooled) - vector).max() <= 1e-5
