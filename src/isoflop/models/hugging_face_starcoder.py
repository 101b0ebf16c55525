"""StarCoder2: rotary positions as in Llama, but LayerNorm, a feed-forward without a gate, biases everywhere or nowhere.

A model with biases on query, key and value alone goes out with zeros for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from isoflop.models.hugging_face_class import Config, StockClass, read, refuse_unless
from isoflop.models.hugging_face_llama import UNGATED, rotation, rotation_limit, stretch
from isoflop.models.hugging_face_rows import Absent, Fold, Row, row
from isoflop.shapes import ModelShape

ATTENTION, LAYER, MLP = "model.layers.#.self_attn.", "model.layers.#.", "model.layers.#.mlp."
ATTENTION_PARTS = tuple(f"{ATTENTION}{part}_proj" for part in "qkv")


def _norm(ours: str, theirs: str) -> tuple[Row, Row]:
    return row(f"{ours}.weight", f"{theirs}.weight"), row(f"{ours}.bias", f"{theirs}.bias")


def _matrix(kind: str, ours: str, *theirs: str, fold: Fold | None = None) -> Row:
    absent: Absent | None = "zeros" if kind == "bias" else None
    return row(f"{ours}.{kind}", *(f"{name}.{kind}" for name in theirs), fold=fold, absent=absent)


def _matrices(kind: str) -> tuple[Row, ...]:
    return (
        _matrix(kind, "blocks.#.attention.qkv", *ATTENTION_PARTS, fold="query"),
        _matrix(kind, "blocks.#.attention.out", f"{ATTENTION}o_proj"),
        _matrix(kind, "blocks.#.feed_forward.up", f"{MLP}c_fc"),
        _matrix(kind, "blocks.#.feed_forward.down", f"{MLP}c_proj"),
    )


BODY = (
    row("embedding.weight", "model.embed_tokens.weight"),
    *_norm("blocks.#.attention_norm", f"{LAYER}input_layernorm"),
    *_norm("blocks.#.feed_forward_norm", f"{LAYER}post_attention_layernorm"),
    *_norm("norm", "model.norm"),
    *_matrices("weight"),
    row("head.weight", "lm_head.weight"),
)
BIASES = _matrices("bias")


def _rows(shape: ModelShape) -> tuple[Row, ...]:
    return BODY if shape.biases == "none" else BODY + BIASES


def _config(shape: ModelShape) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocab,
        "hidden_size": shape.width,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.n_kv_heads,
        "hidden_act": UNGATED[shape.feed_forward],
        "max_position_embeddings": shape.context,
        "norm_epsilon": shape.norm_eps,
        **rotation(shape),
        "use_bias": shape.biases != "none",
        "sliding_window": shape.attention_span,
        "tie_word_embeddings": shape.tied,
        "attention_dropout": shape.dropout,
        "residual_dropout": shape.dropout,
        "embedding_dropout": shape.dropout,
    }


def _shape(config: Config, _: Mapping[str, Tensor]) -> ModelShape:
    named = {theirs: ours for ours, theirs in UNGATED.items()}
    dropout = config.get("attention_dropout", 0.0)
    refuse_unless(config, hidden_act=named, residual_dropout=(dropout,), embedding_dropout=(dropout,))
    heads, context = read(config, "num_attention_heads"), read(config, "max_position_embeddings")
    span = config.get("sliding_window")
    window = {"attention": "window", "attention_span": span} if span is not None and span < context else {}
    return ModelShape(
        layers=read(config, "num_hidden_layers"),
        width=read(config, "hidden_size"),
        heads=heads,
        kv_heads=read(config, "num_key_value_heads", 2),
        vocab=read(config, "vocab_size"),
        context=context,
        ffn=read(config, "intermediate_size"),
        feed_forward=named[read(config, "hidden_act", "gelu_pytorch_tanh")],  # type: ignore[arg-type]
        tied=read(config, "tie_word_embeddings", True),
        norm="layer",
        norm_eps=read(config, "norm_epsilon", 1e-5),
        biases="all" if read(config, "use_bias", True) else "none",
        dropout=float(dropout),
        **stretch(config),
        **window,
    )


def _limit(shape: ModelShape) -> str | None:
    if shape.attention_width != shape.width:
        return f"heads of {shape.head_size}, which do not add up to the width {shape.width}"
    return rotation_limit(shape)


STARCODER = StockClass(
    name="Starcoder2ForCausalLM",
    model_type="starcoder2",
    objective="causal",
    wants={
        "stack": ("decoder",),
        "norm": ("layer",),
        "norm_place": ("pre",),
        "positions": ("rotary",),
        "feed_forward": tuple(UNGATED),
        "qk_norm": (False,),
        "attention": ("full", "window"),
        "segments": (0,),
    },
    rows=_rows,
    config=_config,
    shape=_shape,
    limit=_limit,
)
