"""GPT-2: LayerNorm before each layer, a table of positions that is added to the embedding, heads that share nothing.

Its matrices are stored as (in, out). Sines are a table too, no positions a table of zeros, no biases biases of zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from isoflop.models.hugging_face_class import Config, StockClass, read, refuse_unless
from isoflop.models.hugging_face_rows import Row, row
from isoflop.shapes import ModelShape

ACTIVATIONS = {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu": "relu", "relu2": "relu2"}
LAYER = "transformer.h.#."


def _matrix(ours: str, theirs: str, fold: Any = None) -> tuple[Row, Row]:
    """The rows of a weight and its bias."""
    bias = row(f"{ours}.bias", f"{theirs}.bias", fold=fold, absent="zeros")
    return Row(f"{ours}.weight", (f"{theirs}.weight",), transposed=True, fold=fold), bias


def _norm(ours: str, theirs: str) -> tuple[Row, Row]:
    return row(f"{ours}.weight", f"{theirs}.weight"), row(f"{ours}.bias", f"{theirs}.bias")


ROWS = (
    row("embedding.weight", "transformer.wte.weight"),
    row("position_table.weight", "transformer.wpe.weight", absent="zeros"),
    *_norm("blocks.#.attention_norm", f"{LAYER}ln_1"),
    *_matrix("blocks.#.attention.qkv", f"{LAYER}attn.c_attn", fold="query"),
    *_matrix("blocks.#.attention.out", f"{LAYER}attn.c_proj"),
    *_norm("blocks.#.feed_forward_norm", f"{LAYER}ln_2"),
    *_matrix("blocks.#.feed_forward.up", f"{LAYER}mlp.c_fc"),
    *_matrix("blocks.#.feed_forward.down", f"{LAYER}mlp.c_proj"),
    *_norm("norm", "transformer.ln_f"),
    row("head.weight", "lm_head.weight"),
)


def _rows(_: ModelShape) -> tuple[Row, ...]:
    return ROWS


def _config(shape: ModelShape) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocab,
        "n_positions": shape.context,
        "n_embd": shape.width,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_inner": shape.ffn,
        "activation_function": ACTIVATIONS[shape.feed_forward],
        "layer_norm_epsilon": shape.norm_eps,
        "tie_word_embeddings": shape.tied,
        "resid_pdrop": shape.dropout,
        "embd_pdrop": shape.dropout,
        "attn_pdrop": shape.dropout,
    }


def _shape(config: Config, _: Mapping[str, Tensor]) -> ModelShape:
    named = {theirs: ours for ours, theirs in ACTIVATIONS.items()} | {"gelu_pytorch_tanh": "gelu_tanh"}
    width = read(config, "n_embd")
    dropout = config.get("resid_pdrop", 0.1)
    refuse_unless(
        config,
        activation_function=named,
        scale_attn_weights=(True,),
        scale_attn_by_inverse_layer_idx=(False,),
        add_cross_attention=(False,),
        embd_pdrop=(dropout,),
        attn_pdrop=(dropout,),
    )
    return ModelShape(
        layers=read(config, "n_layer"),
        width=width,
        heads=read(config, "n_head"),
        vocab=read(config, "vocab_size"),
        context=read(config, "n_positions"),
        ffn=read(config, "n_inner", 4 * width),
        feed_forward=named[read(config, "activation_function", "gelu_new")],  # type: ignore[arg-type]
        tied=read(config, "tie_word_embeddings", True),
        norm="layer",
        norm_eps=read(config, "layer_norm_epsilon", 1e-5),
        biases="all",
        positions="learned",
        dropout=float(dropout),
    )


def _limit(shape: ModelShape) -> str | None:
    if shape.attention_width != shape.width:
        return f"heads of {shape.head_size}, which do not add up to the width {shape.width}"
    return "heads that share keys and values (kv_heads)" if shape.n_kv_heads != shape.heads else None


GPT2 = StockClass(
    name="GPT2LMHeadModel",
    model_type="gpt2",
    objective="causal",
    wants={
        "stack": ("decoder",),
        "norm": ("layer",),
        "norm_place": ("pre",),
        "positions": ("learned", "sinusoidal", "none"),
        "feed_forward": tuple(ACTIVATIONS),
        "qk_norm": (False,),
        "attention": ("full",),
        "segments": (0,),
    },
    rows=_rows,
    config=_config,
    shape=_shape,
    prefix="transformer.",
    limit=_limit,
)
