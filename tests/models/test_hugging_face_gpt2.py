"""Models in GPT-2's manner compute in transformers what they compute here, and come back as they went."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from isoflop.errors import UserError
from isoflop.models import PARAMETRIZATIONS, from_hugging_face, to_hugging_face
from isoflop.shapes import ModelShape
from models.hugging_face_models import assert_same_logits, their_model, there_and_back, trained

SHAPE = ModelShape(
    layers=2,
    width=32,
    heads=4,
    vocab=60,
    context=16,
    ffn=40,
    norm="layer",
    norm_eps=1e-5,
    biases="all",
    positions="learned",
    feed_forward="gelu_tanh",
    tied=True,
    dropout=0.1,
)
KINDS = {
    "as published": {},
    "untied, exact GELU": {"tied": False, "feed_forward": "gelu"},
    "biases on q, k, v": {"biases": "qkv", "feed_forward": "relu2"},
    "no biases, sines": {"biases": "none", "positions": "sinusoidal"},
    "no positions": {"positions": "none", "feed_forward": "relu"},
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in KINDS for name in sorted(PARAMETRIZATIONS) if name == "u-mup" or kind == "as published"],
)
def test_logits_are_equal_in_transformers_and_after_coming_back(tmp_path: Path, kind: str, name: str) -> None:
    shape = dataclasses.replace(SHAPE, **KINDS[kind])
    ours = trained(shape, name)
    to_hugging_face(ours, tmp_path)
    theirs = their_model(tmp_path, AutoModelForCausalLM)
    assert isinstance(theirs, GPT2LMHeadModel)
    assert_same_logits(ours, theirs, shape)
    assert_same_logits(there_and_back(ours, tmp_path), theirs, shape)


def test_a_checkpoint_of_transformers_own_is_read(tmp_path: Path) -> None:
    """With another library's names, config and first weights: nothing here is ours."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=60, n_positions=16, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
    theirs = GPT2LMHeadModel(config).eval()
    theirs.save_pretrained(tmp_path)
    ours, info = from_hugging_face(tmp_path)
    assert info.shape == dataclasses.replace(SHAPE, ffn=128)
    assert_same_logits(ours.eval(), theirs, info.shape)


def test_names_without_the_heads_prefix_and_old_masks_are_read(tmp_path: Path) -> None:
    ours = trained(SHAPE, "sp")
    to_hugging_face(ours, tmp_path)
    path = tmp_path / "model.safetensors"
    bare = {name.removeprefix("transformer."): weight for name, weight in load_file(path).items()}
    save_file({**bare, "h.0.attn.bias": torch.ones(1, 1, 16, 16)}, path)
    again, _ = from_hugging_face(tmp_path)
    assert all(a.equal(b) for a, b in zip(ours.parameters(), again.parameters(), strict=True))


REFUSED = {
    "ArceeForCausalLM comes nearest, but not with positions 'learned'": {"norm": "rms"},
    "Starcoder2ForCausalLM comes nearest, but not with positions 'learned'": {"kv_heads": 2},
    "heads of 4": {"size_per_head": 4},
    "feed_forward 'swiglu'": {"feed_forward": "swiglu"},
}


@pytest.mark.parametrize("words", REFUSED)
def test_the_switch_that_no_class_has_is_named(tmp_path: Path, words: str) -> None:
    shape = dataclasses.replace(SHAPE, **REFUSED[words])
    with pytest.raises(UserError, match=words):
        to_hugging_face(trained(shape, "sp"), tmp_path)


@pytest.mark.parametrize("field", ["scale_attn_by_inverse_layer_idx", "add_cross_attention"])
def test_a_feature_that_no_model_here_has_is_named(tmp_path: Path, field: str) -> None:
    to_hugging_face(trained(SHAPE, "sp"), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: True}))
    with pytest.raises(UserError, match=field):
        from_hugging_face(tmp_path)
