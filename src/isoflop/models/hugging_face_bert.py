"""BERT: an encoder with LayerNorm and a layer before its head; with a pooler, pairs too. Where the norms stand behind
the sums it is the published one, where they stand first that of Megatron (Shoeybi et al. 2019, arXiv 1909.08053).

No segments are a table of one row of zeros, no positions a table of zeros, no biases biases of zeros.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from isoflop.models.hugging_face_class import Config, StockClass, read, refuse_unless
from isoflop.models.hugging_face_rows import Fold, Row, row
from isoflop.shapes import ModelShape

ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu", "relu2": "relu2"}
LAYER, EMBEDDINGS, HEAD = "bert.encoder.layer.#.", "bert.embeddings.", "cls.predictions."
QKV = tuple(f"{LAYER}attention.self.{part}" for part in ("query", "key", "value"))


def _matrix(ours: str, *theirs: str, fold: Fold | None = None) -> tuple[Row, Row]:
    """The rows of a weight and its bias."""
    bias = row(f"{ours}.bias", *(f"{name}.bias" for name in theirs), fold=fold, absent="zeros")
    return row(f"{ours}.weight", *(f"{name}.weight" for name in theirs), fold=fold), bias


BODY = (
    row("embedding.weight", f"{EMBEDDINGS}word_embeddings.weight"),
    row("position_table.weight", f"{EMBEDDINGS}position_embeddings.weight", absent="zeros"),
    row("segment_table.weight", f"{EMBEDDINGS}token_type_embeddings.weight", absent="zeros"),
    *_matrix("blocks.#.attention.qkv", *QKV, fold="query"),
    *_matrix("blocks.#.attention.out", f"{LAYER}attention.output.dense"),
    *_matrix("blocks.#.feed_forward.up", f"{LAYER}intermediate.dense"),
    *_matrix("blocks.#.feed_forward.down", f"{LAYER}output.dense"),
)
NORMS_LAST = (
    *_matrix("embedding_norm", f"{EMBEDDINGS}LayerNorm"),
    *_matrix("blocks.#.attention_norm", f"{LAYER}attention.output.LayerNorm"),
    *_matrix("blocks.#.feed_forward_norm", f"{LAYER}output.LayerNorm"),
)
NORMS_FIRST = (
    *_matrix("blocks.#.attention_norm", f"{LAYER}attention.ln"),
    *_matrix("blocks.#.feed_forward_norm", f"{LAYER}ln"),
    *_matrix("norm", "bert.encoder.ln"),
)
MASKED = (
    *_matrix("transform", f"{HEAD}transform.dense"),
    *_matrix("transform_norm", f"{HEAD}transform.LayerNorm"),
    row("head.weight", f"{HEAD}decoder.weight"),
    row("head.bias", f"{HEAD}bias", absent="zeros"),
)
OWN_BIAS = (row("head.bias", f"{HEAD}decoder.bias", absent="zeros"),)
"""What the head adds, where it is not tied: then transformers has two biases, and reads this one."""
PAIR = (*_matrix("pooler", "bert.pooler.dense"), *_matrix("pair_head", "cls.seq_relationship"))


def _rows(shape: ModelShape) -> tuple[Row, ...]:
    rows = BODY + (NORMS_FIRST if shape.norm_place == "pre" else NORMS_LAST)
    if not shape.transform:
        return rows
    return rows + MASKED + (() if shape.tied else OWN_BIAS) + (PAIR if shape.pooler else ())


def _config(shape: ModelShape) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocab,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.ffn,
        "hidden_act": ACTIVATIONS[shape.feed_forward],
        "max_position_embeddings": shape.context,
        "type_vocab_size": max(shape.segments, 1),
        "layer_norm_eps": shape.norm_eps,
        "tie_word_embeddings": shape.tied,
        "hidden_dropout_prob": shape.dropout,
        "attention_probs_dropout_prob": shape.dropout,
    }


def _shape(config: Config, weights: Mapping[str, Tensor]) -> ModelShape:
    named = {theirs: ours for ours, theirs in ACTIVATIONS.items()} | {"gelu_pytorch_tanh": "gelu_tanh"}
    dropout = config.get("hidden_dropout_prob", 0.1)
    refuse_unless(
        config,
        hidden_act=named,
        is_decoder=(False,),
        add_cross_attention=(False,),
        position_embedding_type=("absolute",),
        attention_probs_dropout_prob=(dropout,),
    )
    return ModelShape(
        layers=read(config, "num_hidden_layers"),
        width=read(config, "hidden_size"),
        heads=read(config, "num_attention_heads"),
        vocab=read(config, "vocab_size"),
        context=read(config, "max_position_embeddings"),
        ffn=read(config, "intermediate_size"),
        feed_forward=named[read(config, "hidden_act", "gelu")],  # type: ignore[arg-type]
        tied=read(config, "tie_word_embeddings", True),
        stack="encoder",
        norm="layer",
        norm_place="pre" if read(config, "model_type") == "megatron-bert" else "post",
        norm_eps=read(config, "layer_norm_eps", 1e-12),
        biases="all",
        positions="learned",
        dropout=float(dropout),
        segments=read(config, "type_vocab_size", 2),
        transform=any(name.startswith(HEAD) for name in weights),
        pooler="cls.seq_relationship.weight" in weights,
    )


def _limit(shape: ModelShape) -> str | None:
    if shape.attention_width != shape.width:
        return f"heads of {shape.head_size}, which do not add up to the width {shape.width}"
    return "heads that share keys and values (kv_heads)" if shape.n_kv_heads != shape.heads else None


def _bert(name: str, objective: str, **wants: Collection[object]) -> StockClass:
    common: dict[str, Collection[object]] = {
        "stack": ("encoder",),
        "norm": ("layer",),
        "positions": ("learned", "sinusoidal", "none"),
        "feed_forward": tuple(ACTIVATIONS),
        "qk_norm": (False,),
        "attention": ("full",),
        "transform": (True,),
    }
    return StockClass(
        name,
        "megatron-bert" if name.startswith("Megatron") else "bert",
        objective,
        {**common, **wants},
        _rows,
        _config,
        _shape,
        prefix="bert.",
        copies={f"{HEAD}decoder.bias": f"{HEAD}bias"},
        leaves="bert.pooler." if name == "BertModel" else None,
        limit=_limit,
    )


BERT = (
    _bert("BertForMaskedLM", "masked", norm_place=("post",), pooler=(False,)),
    _bert("BertForPreTraining", "next-sentence", norm_place=("post",), pooler=(True,)),
    _bert("MegatronBertForMaskedLM", "masked", norm_place=("pre",), pooler=(False,)),
    _bert("MegatronBertForPreTraining", "next-sentence", norm_place=("pre",), pooler=(True,)),
)
"""In the order in which export tries them."""
BERT_BODY = _bert("BertModel", "none")
"""Read only, without its pooler: a head that is tied to the embedding stands where it has none."""
