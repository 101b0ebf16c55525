"""Models in Llama's manner compute in transformers what they compute here, and come back as they went."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from isoflop.errors import UserError
from isoflop.models import PARAMETRIZATIONS, build_model, from_hugging_face, parametrization, to_hugging_face
from isoflop.shapes import ModelShape
from models.hugging_face_models import a_batch, assert_same_logits, their_model, there_and_back, trained

SHAPE = ModelShape(layers=2, width=32, heads=4, kv_heads=2, vocab=60, context=16, ffn=40, norm="plain")

KINDS = {
    "grouped": ({}, "LlamaForCausalLM"),
    "tied, with gains": ({"tied": True, "norm": "rms", "norm_eps": 1e-5, "kv_heads": None}, "LlamaForCausalLM"),
    "one key-value head": ({"kv_heads": 1, "size_per_head": 4}, "LlamaForCausalLM"),
    "gated by GELU": ({"feed_forward": "geglu", "rotary_base": 5e5}, "LlamaForCausalLM"),
    "biases on q, k, v": ({"biases": "qkv"}, "LlamaForCausalLM"),
    "biases": ({"biases": "all", "norm": "rms"}, "LlamaForCausalLM"),
    "YaRN": ({"rotary_stretch": "yarn", "rotary_factor": 2.0}, "LlamaForCausalLM"),
    "NTK": ({"rotary_stretch": "ntk", "rotary_factor": 3.0}, "LlamaForCausalLM"),
    "window": ({"attention": "window", "attention_span": 3}, "MistralForCausalLM"),
    "uneven heads": ({"heads": 3, "kv_heads": 1, "size_per_head": 8}, "MistralForCausalLM"),
    "normed queries": ({"qk_norm": True}, "Qwen3ForCausalLM"),
    "normed queries, gains, a window, biases": (
        {"qk_norm": True, "norm": "rms", "biases": "qkv", "attention": "window", "attention_span": 4},
        "Qwen3ForCausalLM",
    ),
    "ReLU²": ({"feed_forward": "relu2"}, "ArceeForCausalLM"),
    "GELU with biases": ({"feed_forward": "gelu", "biases": "all"}, "ArceeForCausalLM"),
    "LayerNorm": (
        {"norm": "layer", "feed_forward": "gelu", "biases": "all", "attention": "window", "attention_span": 5},
        "Starcoder2ForCausalLM",
    ),
    "LayerNorm, biases on q, k, v": (
        {"norm": "layer", "feed_forward": "gelu_tanh", "biases": "qkv", "tied": True},
        "Starcoder2ForCausalLM",
    ),
    "LayerNorm, no biases, YaRN": (
        {"norm": "layer", "feed_forward": "relu2", "rotary_stretch": "yarn", "rotary_factor": 2.0},
        "Starcoder2ForCausalLM",
    ),
    "encoder": ({"stack": "encoder"}, "EuroBertForMaskedLM"),
}
ONE_OF_A_CLASS = ("grouped", "window", "normed queries", "ReLU²", "LayerNorm", "encoder")
"""With every parametrisation; the others with the one that leaves most to fold."""


def a_shape(kind: str) -> ModelShape:
    return dataclasses.replace(SHAPE, **KINDS[kind][0])


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in KINDS for name in sorted(PARAMETRIZATIONS) if name == "u-mup" or kind in ONE_OF_A_CLASS],
)
def test_logits_are_equal_in_transformers_and_after_coming_back(tmp_path: Path, kind: str, name: str) -> None:
    shape, wanted = a_shape(kind), KINDS[kind][1]
    ours = trained(shape, name)
    assert to_hugging_face(ours, tmp_path).name == wanted
    theirs = their_model(tmp_path, AutoModelForMaskedLM if shape.stack == "encoder" else AutoModelForCausalLM)
    assert type(theirs).__name__ == wanted
    assert_same_logits(ours, theirs, shape)
    assert_same_logits(there_and_back(ours, tmp_path), theirs, shape)


@pytest.mark.parametrize("kind", ["grouped", "gated by GELU", "YaRN"])
def test_rotations_are_those_of_transformers_to_the_bit_over_a_long_context(kind: str, tmp_path: Path) -> None:
    """A rounding in an angle grows with the place: after thousands of tokens it would show in the logits."""
    shape = dataclasses.replace(a_shape(kind), context=4096)
    ours, _ = build_model(shape, parametrization("sp"), base=shape, seed=0)
    to_hugging_face(ours, tmp_path)
    theirs = their_model(tmp_path, AutoModelForCausalLM).model.rotary_emb
    cos, sin = theirs(torch.zeros(1), torch.arange(shape.context)[None])
    half = shape.head_size // 2
    assert torch.equal(cos[0, :, :half], ours.cos_TC)
    assert torch.equal(sin[0, :, :half], ours.sin_TC)


def test_generation_is_the_same_greedy_walk(tmp_path: Path) -> None:
    ours = trained(SHAPE, "u-mup")
    to_hugging_face(ours, tmp_path)
    batch = a_batch(SHAPE, padded=False)
    prompt = batch.inputs[:1, :4]
    walked = their_model(tmp_path, AutoModelForCausalLM).generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, do_sample=False, pad_token_id=0
    )
    tokens = prompt
    with torch.no_grad():
        for _ in range(8):
            logits = ours(batch._replace(inputs=tokens))
            tokens = torch.cat((tokens, logits[:, -1:].argmax(-1)), dim=1)
    assert torch.equal(tokens, walked)


REFUSED = {
    "attention 'strided'": {"attention": "strided", "attention_span": 3},
    "positions 'alibi'": {"positions": "alibi"},
    "norm_place 'post'": {"norm_place": "post"},
    "LlamaForCausalLM comes nearest, but not with qk_norm True": {"qk_norm": True, "biases": "all"},
    "no multiple of rotary_factor 3": {"rotary_stretch": "yarn", "rotary_factor": 3.0},
}


@pytest.mark.parametrize("words", REFUSED)
def test_the_switch_that_no_class_has_is_named(tmp_path: Path, words: str) -> None:
    shape = dataclasses.replace(SHAPE, **REFUSED[words])
    with pytest.raises(UserError, match=words):
        to_hugging_face(trained(shape, "sp"), tmp_path)
    assert not list(tmp_path.iterdir())


STRANGE = {
    "rope_type 'llama3'|by 'llama3'": {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
    "by 'linear'": {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
    "partial_rotary_factor 0.5": {"partial_rotary_factor": 0.5},
    "attention_bias True with mlp_bias False": {"attention_bias": True},
    "hidden_act 'relu'": {"hidden_act": "relu"},
    "wrong kind": {"num_attention_heads": "four"},
    "MixtralForCausalLM": {"architectures": ["MixtralForCausalLM"]},
    "no hidden_size": {"hidden_size": None},
    "ties its head": {"tie_word_embeddings": True},
}


@pytest.mark.parametrize("words", STRANGE)
def test_a_feature_that_no_model_here_has_is_named(tmp_path: Path, words: str) -> None:
    shape = a_shape("biases") if "attention_bias" in words else SHAPE
    to_hugging_face(trained(shape, "sp"), tmp_path)
    path = tmp_path / "config.json"
    config = {**json.loads(path.read_text()), "mlp_bias": False, **STRANGE[words]}
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match=words):
        from_hugging_face(tmp_path)
