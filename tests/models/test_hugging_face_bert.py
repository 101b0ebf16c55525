"""Models in BERT's manner compute in transformers what they compute here, and come back as they went."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining, BertConfig, BertForPreTraining, BertModel

from isoflop.errors import UserError
from isoflop.models import PARAMETRIZATIONS, from_hugging_face, to_hugging_face
from isoflop.shapes import ModelShape
from models.hugging_face_models import (
    TOLERANCE,
    a_batch,
    assert_same_logits,
    inputs_of,
    their_model,
    there_and_back,
    trained,
)

SHAPE = ModelShape(
    layers=2,
    width=32,
    heads=4,
    vocab=60,
    context=16,
    ffn=40,
    stack="encoder",
    norm="layer",
    norm_place="post",
    norm_eps=1e-12,
    biases="all",
    positions="learned",
    feed_forward="gelu",
    tied=True,
    dropout=0.1,
    segments=2,
    transform=True,
    pooler=True,
)
KINDS = {
    "as published": ({}, "BertForPreTraining"),
    "norms first": ({"norm_place": "pre"}, "MegatronBertForPreTraining"),
    "norms first, untied, no pairs": (
        {"norm_place": "pre", "pooler": False, "tied": False, "biases": "qkv"},
        "MegatronBertForMaskedLM",
    ),
    "masked words alone": ({"pooler": False}, "BertForMaskedLM"),
    "untied": ({"tied": False, "pooler": False}, "BertForMaskedLM"),
    "no segments, no biases, sines": (
        {"segments": 0, "biases": "none", "positions": "sinusoidal", "feed_forward": "relu", "pooler": False},
        "BertForMaskedLM",
    ),
}

ONE_OF_A_CLASS = ("as published", "norms first", "masked words alone")
"""With every parametrisation; the others with the one that leaves most to fold."""


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in KINDS for name in sorted(PARAMETRIZATIONS) if name == "u-mup" or kind in ONE_OF_A_CLASS],
)
def test_logits_are_equal_in_transformers_and_after_coming_back(tmp_path: Path, kind: str, name: str) -> None:
    shape, wanted = dataclasses.replace(SHAPE, **KINDS[kind][0]), KINDS[kind][1]
    ours = trained(shape, name)
    to_hugging_face(ours, tmp_path)
    theirs = their_model(tmp_path, AutoModelForPreTraining if shape.pooler else AutoModelForMaskedLM)
    assert type(theirs).__name__ == wanted
    assert_same_logits(ours, theirs, shape)
    again = there_and_back(ours, tmp_path)
    assert_same_logits(again, theirs, shape)
    if shape.pooler:
        batch = a_batch(shape, seed=9)
        with torch.no_grad():
            wanted_pairs = theirs(**inputs_of(batch)).seq_relationship_logits
            assert (ours.pair_logits(batch) - wanted_pairs).abs().max() <= TOLERANCE
            assert (again.pair_logits(batch) - wanted_pairs).abs().max() <= TOLERANCE


def a_config() -> BertConfig:
    return BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=16,
    )


def test_a_checkpoint_of_transformers_own_is_read(tmp_path: Path) -> None:
    """With another library's names, config and first weights: nothing here is ours."""
    torch.manual_seed(0)
    theirs = BertForPreTraining(a_config()).eval()
    theirs.save_pretrained(tmp_path)
    ours, info = from_hugging_face(tmp_path)
    assert (info.shape, info.objective) == (SHAPE, "next-sentence")
    assert_same_logits(ours.eval(), theirs, info.shape)


def test_an_encoder_without_a_head_is_read_and_its_pooler_named(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = BertModel(a_config()).eval()
    theirs.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"bert\.pooler\.dense\.bias"):
        ours, info = from_hugging_face(tmp_path)
    batch = a_batch(info.shape, seed=9)
    with torch.no_grad():
        states = theirs(**inputs_of(batch)).last_hidden_state
        assert (ours.eval().features(batch) - states)[batch.documents > 0].abs().max() <= TOLERANCE


REFUSED = {
    "norm 'rms'": {"norm": "rms"},
    "transform False": {"transform": False, "pooler": False},
    "share keys and values": {"kv_heads": 2},
    "attention 'window'": {"attention": "window", "attention_span": 3},
}


@pytest.mark.parametrize("words", REFUSED)
def test_the_switch_that_no_class_has_is_named(tmp_path: Path, words: str) -> None:
    shape = dataclasses.replace(SHAPE, **REFUSED[words])
    with pytest.raises(UserError, match=words):
        to_hugging_face(trained(shape, "sp"), tmp_path)


def test_a_feature_that_no_model_here_has_is_named(tmp_path: Path) -> None:
    to_hugging_face(trained(SHAPE, "sp"), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "position_embedding_type": "relative_key"}))
    with pytest.raises(UserError, match="position_embedding_type 'relative_key'"):
        from_hugging_face(tmp_path)
