"""Tiny models with weights drawn by chance, as folders of ours and of Hugging Face, and a text in two scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from isoflop.data.special_tokens import BERT_TOKENS, with_special_tokens
from isoflop.data.tokens import TokenizerConfig, train_tokenizer
from isoflop.models import build_model, parametrization, save_model, to_hugging_face
from isoflop.shapes import ModelShape

TEXT = (
    "The quick brown fox jumps over the lazy dog, and nobody minds.\n"
    "静夜思：床前明月光，疑是地上霜。举头望明月，低头思故乡。\n"
    "Naïve cafés — “quoted”, with an emoji 🙂 and\ttabs.\n"
) * 6
CONTEXT, VOCAB = 24, 320


def write_model(folder: Path, *, seed: int, vocab: int = VOCAB, **switches: Any) -> Path:
    """A model whose predictions are far from even, with a tokenizer of its own, in `folder/model` and `folder/hf`."""
    bpe = train_tokenizer(iter([TEXT]), TokenizerConfig(vocab=vocab))
    if switches.get("stack") == "encoder":
        bpe = with_special_tokens(bpe, BERT_TOKENS)
        switches["segments"] = 0
    size = bpe.get_vocab_size()
    shape = ModelShape(layers=2, width=32, heads=2, ffn=48, vocab=size, context=CONTEXT, **switches)
    model, _ = build_model(shape, parametrization("sp"), base=shape, seed=seed)
    with torch.no_grad():
        model.head.weight *= 12
    folder.mkdir(parents=True, exist_ok=True)
    bpe.save(str(folder / "bpe.json"))
    objective = "masked" if switches.get("stack") == "encoder" else "causal"
    save_model(
        folder / "model", model, parametrization="sp", base=None, objective=objective, tokenizer=folder / "bpe.json"
    )
    to_hugging_face(model, folder / "hf", tokenizer=folder / "bpe.json")
    return folder


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("decoder"), seed=0)


@pytest.fixture(scope="session")
def other_decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with another tokenizer."""
    return write_model(tmp_path_factory.mktemp("other"), seed=1, vocab=280)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("encoder"), seed=0, stack="encoder")
