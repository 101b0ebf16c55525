"""A saved model comes back as it was, and a damaged folder is told in one sentence."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from isoflop.data.tokens import TokenizerConfig, train_tokenizer
from isoflop.errors import UserError
from isoflop.models import PARAMETRIZATIONS, Batch, build_model, load_model, parametrization, save_model
from isoflop.models.parametrization import Alphas, umup
from isoflop.shapes import ModelShape

SHAPE = ModelShape(layers=2, width=24, heads=4, kv_heads=2, vocab=300, context=12, ffn=40, norm="plain")
BASE = dataclasses.replace(SHAPE, width=16, ffn=20, layers=1)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    train_tokenizer(iter(["some words, and some more words"] * 9), TokenizerConfig(vocab=270)).save(str(path))
    return path


def saved(folder: Path, tokenizer: Path | None = None, name: str = "u-mup", tied: bool = False) -> torch.nn.Module:
    model, _ = build_model(dataclasses.replace(SHAPE, tied=tied), parametrization(name), base=BASE, seed=3)
    save_model(folder, model, parametrization=name, base=BASE, objective="causal", tokenizer=tokenizer)
    return model


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", sorted(PARAMETRIZATIONS))
def test_a_loaded_model_computes_what_the_saved_one_did(tmp_path: Path, tokenizer: Path, name: str, tied: bool) -> None:
    model = saved(tmp_path, tokenizer, name, tied)
    again, info = load_model(tmp_path)
    tokens = torch.randint(SHAPE.vocab, (2, 12), generator=torch.Generator().manual_seed(0))
    batch = Batch(tokens, tokens)
    with torch.no_grad():
        assert torch.equal(model(batch), again(batch))
    assert (info.parametrization, info.base, info.objective) == (name, BASE, "causal")
    assert (again.head.weight is again.embedding.weight) == tied
    assert Tokenizer.from_file(str(info.tokenizer)).to_str() == Tokenizer.from_file(str(tokenizer)).to_str()


def test_a_scale_of_attention_that_no_name_says_is_kept(tmp_path: Path) -> None:
    model, _ = build_model(SHAPE, umup(Alphas(attention=3.0)), base=BASE, seed=3)
    save_model(tmp_path, model, parametrization="u-mup", base=BASE, objective="causal", tokenizer=None)
    again, info = load_model(tmp_path)
    batch = Batch(torch.arange(12)[None], torch.arange(12)[None])
    with torch.no_grad():
        assert torch.equal(model(batch), again(batch))
    assert info.logit_scale == 3 / SHAPE.head_size


def test_weights_are_float32_under_the_modules_own_names_and_tied_ones_are_there_once(tmp_path: Path) -> None:
    model = saved(tmp_path, tied=True)
    weights = load_file(tmp_path / "weights.safetensors")
    assert sorted(weights) == sorted(name for name, _ in model.named_parameters())
    assert "head.weight" not in weights
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert json.loads((tmp_path / "model.json").read_text())["tokenizer"] is None


def test_each_damage_is_told(tmp_path: Path, tokenizer: Path) -> None:
    with pytest.raises(UserError, match=r"has no model\.json"):
        load_model(tmp_path)
    saved(tmp_path, tokenizer)
    weights, record = tmp_path / "weights.safetensors", tmp_path / "model.json"
    whole, text = weights.read_bytes(), record.read_text()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        load_model(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match=r"has no weights\.safetensors"):
        load_model(tmp_path)
    weights.write_bytes(whole)
    for old, new, words in (
        ('"layers": 2', '"layers": 3', r"blocks\.2\..* is missing \(and"),
        ('"ffn": 40', '"ffn": 48', r"is \(80, 24\), not \(96, 24\)"),
        ('"schema": 1', '"schema": 9', "schema 9"),
        ('"vocab": 300', '"vocabulary": 300', "vocabulary"),
        ('"u-mup"', '"v-mup"', "v-mup"),
        ('"logit_scale": 0', '"logit_scale": "a lot", "x": 0', "a lot"),
        ("{", "[", "damaged"),
    ):
        record.write_text(text.replace(old, new, 1))
        with pytest.raises(UserError, match=words):
            load_model(tmp_path)


def test_what_cannot_be_used_later_is_not_saved(tmp_path: Path, tokenizer: Path) -> None:
    small = dataclasses.replace(SHAPE, vocab=100)
    model, _ = build_model(small, parametrization("sp"), base=small, seed=0)
    with pytest.raises(UserError, match="270 tokens and the model 100"):
        save_model(tmp_path, model, parametrization="sp", base=None, objective="causal", tokenizer=tokenizer)
    with torch.no_grad():
        model.head.weight[0, 0] = torch.nan
    with pytest.raises(UserError, match=r"head\.weight has values that are not finite"):
        save_model(tmp_path, model, parametrization="sp", base=None, objective="causal", tokenizer=None)
    assert not list(tmp_path.iterdir())
