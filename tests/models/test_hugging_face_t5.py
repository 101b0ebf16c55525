"""Models in T5's manner compute in transformers what they compute here, and come back as they went."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, T5Config, T5ForConditionalGeneration

from isoflop.errors import UserError
from isoflop.models import PARAMETRIZATIONS, from_hugging_face, to_hugging_face
from isoflop.shapes import ModelShape
from models.hugging_face_models import a_batch, assert_same_logits, their_model, there_and_back, trained

SHAPE = ModelShape(
    layers=2,
    width=32,
    heads=2,
    vocab=60,
    context=16,
    ffn=40,
    stack="encoder_decoder",
    positions="relative",
    feed_forward="relu",
    tied=True,
    dropout=0.1,
)
"""Heads of 16, whose root is whole: the scale of the attention logits then goes into q, and out of it, to the bit."""
KINDS = {
    "as published": {},
    "version 1.1": {"tied": False, "feed_forward": "geglu", "heads": 4, "size_per_head": 16},
    "without gains": {"norm": "plain", "feed_forward": "swiglu"},
    "exact GELU": {"feed_forward": "gelu", "norm_eps": 1e-5, "tied": False},
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in KINDS for name in sorted(PARAMETRIZATIONS) if name == "u-mup" or kind == "as published"],
)
def test_logits_are_equal_in_transformers_and_after_coming_back(tmp_path: Path, kind: str, name: str) -> None:
    shape = dataclasses.replace(SHAPE, **KINDS[kind])
    ours = trained(shape, name)
    to_hugging_face(ours, tmp_path)
    theirs = their_model(tmp_path, AutoModelForSeq2SeqLM)
    assert isinstance(theirs, T5ForConditionalGeneration)
    assert_same_logits(ours, theirs, shape)
    assert_same_logits(there_and_back(ours, tmp_path), theirs, shape)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_checkpoint_of_transformers_own_is_read(tmp_path: Path, version: str) -> None:
    """With another library's names, config and first weights: nothing here is ours."""
    torch.manual_seed(0)
    old = version == "1.0"
    config = T5Config(
        vocab_size=60,
        d_model=32,
        d_kv=16,
        d_ff=40,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="relu" if old else "gated-gelu",
        tie_word_embeddings=old,
    )
    theirs = T5ForConditionalGeneration(config).eval()
    theirs.save_pretrained(tmp_path)
    ours, info = from_hugging_face(tmp_path)
    wanted = dataclasses.replace(SHAPE, context=512, feed_forward="relu" if old else "geglu")
    assert (info.shape, info.objective) == (wanted, "span")
    assert_same_logits(ours.eval(), theirs, info.shape)


def test_generation_is_the_same_greedy_walk(tmp_path: Path) -> None:
    ours = trained(SHAPE, "u-mup")
    to_hugging_face(ours, tmp_path)
    batch = a_batch(SHAPE, padded=False)
    walked = their_model(tmp_path, AutoModelForSeq2SeqLM).generate(
        batch.source, max_new_tokens=6, do_sample=False, decoder_start_token_id=0, pad_token_id=0
    )
    tokens = torch.zeros(len(walked), 1, dtype=torch.long)
    with torch.no_grad():
        for _ in range(6):
            logits = ours(batch._replace(inputs=tokens))
            tokens = torch.cat((tokens, logits[:, -1:].argmax(-1)), dim=1)
    assert torch.equal(tokens, walked)


REFUSED = {
    "positions 'rotary'": {"positions": "rotary"},
    "norm 'layer'": {"norm": "layer"},
    "biases 'all'": {"biases": "all"},
    "share keys and values": {"kv_heads": 1},
}


@pytest.mark.parametrize("words", REFUSED)
def test_the_switch_that_no_class_has_is_named(tmp_path: Path, words: str) -> None:
    shape = dataclasses.replace(SHAPE, **REFUSED[words])
    with pytest.raises(UserError, match=words):
        to_hugging_face(trained(shape, "sp"), tmp_path)


@pytest.mark.parametrize("change", [{"num_decoder_layers": 3}, {"relative_attention_max_distance": 64}])
def test_a_feature_that_no_model_here_has_is_named(tmp_path: Path, change: dict[str, int]) -> None:
    to_hugging_face(trained(SHAPE, "sp"), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=next(iter(change))):
        from_hugging_face(tmp_path)
