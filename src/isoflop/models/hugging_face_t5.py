"""T5: an encoder and a decoder with RMSNorm first, distances in buckets, attention logits that are not scaled.

Where its head is tied to the embedding, transformers multiplies what goes into the head by width**-1/2; the gains of
the norm before it take that over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from isoflop.models.hugging_face_class import Config, StockClass, read, refuse_unless
from isoflop.models.hugging_face_rows import Row, row
from isoflop.models.positions import RELATIVE_REACH
from isoflop.shapes import ModelShape
from isoflop.shapes.counting import RELATIVE_BUCKETS

ACTIVATIONS = {
    "relu": "relu",
    "relu2": "relu2",
    "gelu": "gelu",
    "gelu_tanh": "gelu_new",
    "geglu": "gated-gelu",  # which transformers reads as the approximation by tanh
    "swiglu": "gated-silu",
}
CONTEXT = 512
"""What T5 was trained on; it has no longest sequence, and not every config.json has this field."""


def _side(side: str, feed_forward: int) -> tuple[Row, ...]:
    """The rows of a stack, whose `feed_forward` is its so-manieth layer, but for those of attention to the encoder."""
    ours, theirs = f"{side}.blocks.#.", f"{side}.block.#.layer."
    return (
        row(f"{ours}attention_norm.weight", f"{theirs}0.layer_norm.weight", absent="ones"),
        row(f"{ours}attention.qkv.weight", *(f"{theirs}0.SelfAttention.{n}.weight" for n in "qkv"), fold="query"),
        row(f"{ours}attention.out.weight", f"{theirs}0.SelfAttention.o.weight"),
        row(f"{ours}feed_forward_norm.weight", f"{theirs}{feed_forward}.layer_norm.weight", absent="ones"),
        row(f"{ours}feed_forward.down.weight", f"{theirs}{feed_forward}.DenseReluDense.wo.weight"),
        row(f"{side}.relative.weight", f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
    )


CROSS = "decoder.block.#.layer.1."
BODY = (
    row("embedding.weight", "shared.weight"),
    *_side("encoder", 1),
    row("encoder.norm.weight", "encoder.final_layer_norm.weight", absent="ones"),
    *_side("decoder", 2),
    row("decoder.blocks.#.cross_norm.weight", f"{CROSS}layer_norm.weight", absent="ones"),
    row("decoder.blocks.#.cross.q.weight", f"{CROSS}EncDecAttention.q.weight", fold="query"),
    row("decoder.blocks.#.cross.kv.weight", *(f"{CROSS}EncDecAttention.{n}.weight" for n in "kv")),
    row("decoder.blocks.#.cross.out.weight", f"{CROSS}EncDecAttention.o.weight"),
    row("decoder.norm.weight", "decoder.final_layer_norm.weight", fold="stream", absent="ones"),
    row("head.weight", "lm_head.weight"),
)
UP = {"encoder": "encoder.block.#.layer.1.DenseReluDense.wi", "decoder": "decoder.block.#.layer.2.DenseReluDense.wi"}
PLAIN = tuple(row(f"{side}.blocks.#.feed_forward.up.weight", f"{name}.weight") for side, name in UP.items())
GATED = tuple(
    row(f"{side}.blocks.#.feed_forward.up.weight", f"{name}_0.weight", f"{name}_1.weight") for side, name in UP.items()
)


def _rows(shape: ModelShape) -> tuple[Row, ...]:
    return BODY + (GATED if shape.is_gated else PLAIN)


def _config(shape: ModelShape) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocab,
        "d_model": shape.width,
        "d_kv": shape.head_size,
        "d_ff": shape.ffn,
        "num_layers": shape.layers,
        "num_decoder_layers": shape.layers,
        "num_heads": shape.heads,
        "n_positions": shape.context,
        "relative_attention_num_buckets": RELATIVE_BUCKETS,
        "relative_attention_max_distance": RELATIVE_REACH,
        "layer_norm_epsilon": shape.norm_eps,
        "feed_forward_proj": ACTIVATIONS[shape.feed_forward],
        "dropout_rate": shape.dropout,
        "is_encoder_decoder": True,
        "tie_word_embeddings": shape.tied,
    }


def _shape(config: Config, weights: Mapping[str, Tensor]) -> ModelShape:
    layers, heads, width = read(config, "num_layers"), read(config, "num_heads"), read(config, "d_model")
    size = read(config, "d_kv", 64)
    named = {theirs: ours for ours, theirs in ACTIVATIONS.items()}
    refuse_unless(
        config,
        feed_forward_proj=named,
        num_decoder_layers=(layers,),
        relative_attention_num_buckets=(RELATIVE_BUCKETS,),
        relative_attention_max_distance=(RELATIVE_REACH,),
    )
    head = weights.get("lm_head.weight")
    return ModelShape(
        layers=layers,
        width=width,
        heads=heads,
        size_per_head=None if size * heads == width else size,
        vocab=read(config, "vocab_size"),
        context=read(config, "n_positions", CONTEXT),
        ffn=read(config, "d_ff"),
        feed_forward=named[read(config, "feed_forward_proj", "relu")],  # type: ignore[arg-type]
        tied=head is None or head.equal(weights["shared.weight"]),
        stack="encoder_decoder",
        norm="rms",
        norm_eps=read(config, "layer_norm_epsilon", 1e-6),
        positions="relative",
        dropout=float(read(config, "dropout_rate", 0.1)),
    )


def _stream(config: Config) -> float:
    """What transformers multiplies by before the head: by its own flag, or, before version 5, where that is tied."""
    tied = config.get("tie_word_embeddings") is not False
    return float(config["d_model"] ** -0.5) if config.get("scale_decoder_outputs", tied) else 1.0


T5 = StockClass(
    name="T5ForConditionalGeneration",
    model_type="t5",
    objective="span",
    wants={
        "stack": ("encoder_decoder",),
        "norm": ("rms", "plain"),
        "norm_place": ("pre",),
        "positions": ("relative",),
        "feed_forward": tuple(ACTIVATIONS),
        "biases": ("none",),
        "qk_norm": (False,),
        "attention": ("full",),
    },
    rows=_rows,
    config=_config,
    shape=_shape,
    head_power=0.0,
    stream=_stream,
    copies={f"{side}.embed_tokens.weight": "shared.weight" for side in ("encoder", "decoder")},
    limit=lambda shape: "heads that share keys and values (kv_heads)" if shape.n_kv_heads != shape.heads else None,
)
