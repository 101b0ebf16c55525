"""What holds of every method, of each kind of model, with tied and untied embeddings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from isoflop.adaptation import Ready, Recipe, Result, Split, Stepped, finetune, load_classifier, read_split
from isoflop.adaptation.classifier import Classifier, pooling_for
from isoflop.adaptation.methods import METHODS, Method
from isoflop.adaptation.prediction import probabilities
from isoflop.adaptation.pretrained import read_pretrained, tokenize
from isoflop.errors import UserError
from isoflop.generation import Beams, Decoding, Greedy, Manner, read_generator, text_generator
from isoflop.models import Batch, load_model
from isoflop.models.adapter import load_body, save_body
from isoflop.models.storage import read_weights
from isoflop.runs import read_curve

RATES = {"full": 3e-3, "head": 3e-2, "lora": 1e-2, "dora": 1e-2, "prefix": 3e-2, "prompt": 3e-2, "p-tuning": 1e-2}
MERGED = {"full", "head", "lora", "dora"}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
each_stack = pytest.mark.parametrize("stack", ["encoder", "decoder"])


@pytest.fixture(scope="module")
def few(tables: dict[str, Path]) -> Split:
    return read_split(tables["test"], test=tables["dev"])


def short(method: Method) -> Method:
    """The method with a prompt that leaves room in a context of 32."""
    return dataclasses.replace(method, length=4) if hasattr(method, "length") else method


@each_method
@each_stack
@pytest.mark.parametrize("tied", [True, False])
def test_what_is_saved_computes_what_was_trained(
    method: Method, stack: str, tied: bool, untrained: Callable[..., Path], few: Split, tmp_path: Path
) -> None:
    pretrained = read_pretrained(untrained(stack, tied=tied))
    body, texts = pretrained.model, tokenize(pretrained.tokenizer, few.parts["test"].texts, longest=28)
    model = Classifier(body, 2, pooling=pooling_for(body, None), seed=0)
    plain = probabilities(model, texts)
    method = short(method)
    method.prepare(body, seed=0)
    trained = [weight for weight in body.parameters() if weight.requires_grad]
    if method.name in MERGED:
        np.testing.assert_allclose(probabilities(model, texts), plain, atol=1e-6)  # at first nothing is added
    with torch.no_grad():
        for weight in trained:
            weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))
    before = probabilities(model, texts)
    assert (abs(before - plain).max() > 1e-3) == (method.name != "head")
    method.finish(body)
    np.testing.assert_allclose(probabilities(model, texts), before, atol=1e-5)
    save_body(tmp_path, body, pretrained.info)
    model.body, info = load_body(tmp_path)
    np.testing.assert_allclose(probabilities(model, texts), before, atol=1e-5)
    assert info.shape.tied == tied
    if method.name in MERGED:
        assert set(read_weights(tmp_path / "weights.safetensors")) == set(
            read_weights(untrained(stack, tied=tied) / "weights.safetensors")
        )
    else:
        with pytest.raises(UserError, match=r"no model\.json"):
            load_model(tmp_path)


@pytest.mark.parametrize("method", [one for one in METHODS.values() if one.name != "head"], ids=lambda one: one.name)
@pytest.mark.parametrize("stack", ["decoder", "encoder_decoder"])
@pytest.mark.parametrize("tied", [True, False])
def test_what_is_saved_writes_what_was_trained(
    method: Method, stack: str, tied: bool, untrained: Callable[..., Path], tmp_path: Path
) -> None:
    pretrained = read_pretrained(untrained(stack, tied=tied), stacks=[stack])
    body, method = pretrained.model.eval(), short(method)
    manner = Manner(tokens={"eos_token_id": list(range(0, 300, 9)), "decoder_start_token_id": 5})
    generator = text_generator(body, pretrained.tokenizer, pretrained.info, manner)
    prompts, tokens = [[7, 8, 9, 10], [11], [12, 13, 14], list(range(40, 60))], torch.arange(20, 40)[None]
    batch = Batch(tokens, tokens, source=tokens if stack == "encoder_decoder" else None)
    decodings = [Decoding(choice, 10) for choice in (Greedy(), Beams(3))]
    plain = body(batch)
    method.prepare(body, seed=0)
    with torch.no_grad():
        for weight in [weight for weight in body.parameters() if weight.requires_grad]:
            weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))
    before = body(batch)
    assert (before - plain).abs().max() > 1e-2
    written = [generator.go_on(prompts, decoding) for decoding in decodings]
    for one, decoding in zip(written, decodings, strict=True):  # what shares a batch makes no difference
        assert [generator.go_on([prompt], decoding)[0] for prompt in prompts] == one
    method.finish(body)
    save_body(tmp_path, body, pretrained.info)
    manner.write(tmp_path)
    saved = read_generator(tmp_path)
    torch.testing.assert_close(saved.model(batch), before, atol=2e-5, rtol=1e-4)
    assert [saved.go_on(prompts, decoding) for decoding in decodings] == written
    assert (tmp_path / "body").exists() == (method.name not in MERGED)


@each_method
@each_stack
def test_training_falls_and_an_interrupted_one_comes_to_the_same_weights(
    method: Method,
    stack: str,
    untrained: Callable[..., Path],
    few: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("isoflop.adaptation.tasks.classify.fit_floor", lambda split: None)
    recipe = Recipe(short(method), RATES[method.name], batch=20, epochs=4)
    folder, whole, parts = untrained(stack, tied=stack == "encoder"), tmp_path / "whole", tmp_path / "parts"
    *_, result = finetune(folder, few, out=whole, recipe=recipe)
    assert isinstance(result, Result)
    losses = [point.loss for point in read_curve(whole)]
    assert sum(losses[-4:]) < sum(losses[:4])
    guesses = load_classifier(whole).predict(few.parts["test"].texts)
    hits = [guess.label == label for guess, label in zip(guesses, few.parts["test"].labels, strict=True)]
    assert sum(hits) / len(hits) == result.scores["test"].accuracy

    monkeypatch.setattr("isoflop.adaptation.finetuning.CHECKPOINT_SECONDS", 0.0)
    for event in finetune(folder, few, out=parts, recipe=recipe):
        if isinstance(event, Stepped) and event.step == 12:
            break
    ready, *_ = finetune(folder, few, out=parts, recipe=recipe)
    assert isinstance(ready, Ready)
    assert ready.begun == 11
    files = sorted(path.relative_to(whole) for path in whole.rglob("*.safetensors"))
    assert files == sorted(path.relative_to(parts) for path in parts.rglob("*.safetensors"))
    assert all((whole / file).read_bytes() == (parts / file).read_bytes() for file in files)
