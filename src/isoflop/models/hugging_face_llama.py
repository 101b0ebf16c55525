"""Llama and its relations: rotary positions, RMSNorm before each layer, grouped heads.

Which class: ungated feed-forward, Arcee; norms on query and key, Qwen3; a sliding window, Mistral; an encoder,
EuroBERT; else Llama. Biases on query, key and value alone are Llama's with an output bias of zeros, not Qwen2's: for
`model_type` qwen2 AutoTokenizer puts Qwen's own splitting of text in place of the one in tokenizer.json.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor

from isoflop.errors import UserError
from isoflop.models.hugging_face_class import Config, StockClass, read, refuse_unless
from isoflop.models.hugging_face_rows import Row, row
from isoflop.shapes import ModelShape

GATED_BY = {"swiglu": "silu", "geglu": "gelu_pytorch_tanh"}
UNGATED = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu", "relu2": "relu2"}

ATTENTION, LAYER, MLP = "model.layers.#.self_attn.", "model.layers.#.", "model.layers.#.mlp."
QKV = tuple(f"{ATTENTION}{part}_proj." for part in "qkv")

BODY = (
    row("embedding.weight", "model.embed_tokens.weight"),
    row("blocks.#.attention_norm.weight", f"{LAYER}input_layernorm.weight", absent="ones"),
    row("blocks.#.attention.out.weight", f"{ATTENTION}o_proj.weight"),
    row("blocks.#.feed_forward_norm.weight", f"{LAYER}post_attention_layernorm.weight", absent="ones"),
    row("blocks.#.feed_forward.down.weight", f"{MLP}down_proj.weight"),
    row("norm.weight", "model.norm.weight", absent="ones"),
    row("head.weight", "lm_head.weight"),
)
SCALED_QUERY = (row("blocks.#.attention.qkv.weight", *(f"{name}weight" for name in QKV), fold="query"),)
SCALED_BIASES = (row("blocks.#.attention.qkv.bias", *(f"{name}bias" for name in QKV), fold="query"),)
NORMED_QUERY = (
    row("blocks.#.attention.qkv.weight", *(f"{name}weight" for name in QKV)),
    row("blocks.#.attention.q_norm.weight", f"{ATTENTION}q_norm.weight", fold="query", absent="ones"),
    row("blocks.#.attention.k_norm.weight", f"{ATTENTION}k_norm.weight", absent="ones"),
)
NORMED_BIASES = (row("blocks.#.attention.qkv.bias", *(f"{name}bias" for name in QKV)),)
OUT_BIAS = (row("blocks.#.attention.out.bias", f"{ATTENTION}o_proj.bias", absent="zeros"),)
GATED = (row("blocks.#.feed_forward.up.weight", f"{MLP}gate_proj.weight", f"{MLP}up_proj.weight"),)
PLAIN = (row("blocks.#.feed_forward.up.weight", f"{MLP}up_proj.weight"),)
DOWN_BIAS = (row("blocks.#.feed_forward.down.bias", f"{MLP}down_proj.bias"),)
GATED_BIASES = (*DOWN_BIAS, row("blocks.#.feed_forward.up.bias", f"{MLP}gate_proj.bias", f"{MLP}up_proj.bias"))
PLAIN_BIASES = (*DOWN_BIAS, row("blocks.#.feed_forward.up.bias", f"{MLP}up_proj.bias"))


def _rows(shape: ModelShape) -> tuple[Row, ...]:
    rows = BODY + (NORMED_QUERY if shape.qk_norm else SCALED_QUERY) + (GATED if shape.is_gated else PLAIN)
    if shape.biases != "none":
        rows += OUT_BIAS + (NORMED_BIASES if shape.qk_norm else SCALED_BIASES)
    if shape.biases == "all":
        rows += GATED_BIASES if shape.is_gated else PLAIN_BIASES
    return rows


def _config(shape: ModelShape) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocab,
        "hidden_size": shape.width,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.n_kv_heads,
        "head_dim": shape.head_size,
        "hidden_act": (GATED_BY | UNGATED)[shape.feed_forward],
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_eps,
        **rotation(shape),
        "tie_word_embeddings": shape.tied,
        "attention_bias": shape.biases != "none",
        "mlp_bias": shape.biases == "all",
        "attention_dropout": shape.dropout,
        "sliding_window": shape.attention_span,
        "use_sliding_window": shape.attention == "window",
        "max_window_layers": 0,
    }


def rotation(shape: ModelShape) -> dict[str, Any]:
    """The fields of config.json about rotations.

    NTK's stretch is another base (Peng et al. 2023, arXiv 2309.00071, section 3.1), so no class has to know it.
    """
    base, factor, size = shape.rotary_base, shape.rotary_factor, shape.head_size
    if shape.rotary_stretch == "ntk":
        return {"rope_theta": base * factor ** (size / (size - 2))}
    if shape.rotary_stretch == "none":
        return {"rope_theta": base}
    original = round(shape.context / factor)
    scaling = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
    return {"rope_theta": base, "rope_scaling": scaling}


def rotation_limit(shape: ModelShape) -> str | None:
    """What keeps a rotation out of config.json, in words."""
    if shape.rotary_stretch == "yarn" and shape.context % shape.rotary_factor:
        return f"a context of {shape.context} that is no multiple of rotary_factor {shape.rotary_factor:g}"
    return None


def _even_limit(shape: ModelShape) -> str | None:
    if shape.width % shape.heads:
        return f"{shape.heads} heads that do not divide the width {shape.width}"
    return rotation_limit(shape)


def _shape(config: Config, weights: Mapping[str, Tensor]) -> ModelShape:
    heads, width = read(config, "num_attention_heads"), read(config, "hidden_size")
    head_size = read(config, "head_dim", width // heads)
    kind = read(config, "model_type")
    refuse_unless(config, partial_rotary_factor=(1, 1.0), pretraining_tp=(1,))
    return ModelShape(
        layers=read(config, "num_hidden_layers"),
        width=width,
        heads=heads,
        kv_heads=read(config, "num_key_value_heads", heads),
        size_per_head=None if head_size * heads == width else head_size,
        vocab=read(config, "vocab_size"),
        context=read(config, "max_position_embeddings"),
        ffn=read(config, "intermediate_size"),
        feed_forward=_feed_forward(config, gated=kind != "arcee"),
        tied=read(config, "tie_word_embeddings", False),
        stack="encoder" if kind == "eurobert" else "decoder",
        biases="qkv" if kind == "qwen2" else _biases(config, weights),
        norm_eps=read(config, "rms_norm_eps", 1e-6),
        qk_norm=kind == "qwen3",
        dropout=float(read(config, "attention_dropout", 0.0)),
        **stretch(config),
        **_window(config),
    )


def _feed_forward(config: Config, *, gated: bool) -> Any:
    named = {theirs: ours for ours, theirs in (GATED_BY if gated else UNGATED).items()}
    if gated:
        named["swish"] = "swiglu"
    refuse_unless(config, hidden_act=named)
    return named[read(config, "hidden_act", "silu" if gated else "relu2")]


def _biases(config: Config, weights: Mapping[str, Tensor]) -> Any:
    attention, mlp = read(config, "attention_bias", False), read(config, "mlp_bias", False)
    if attention and not mlp and not any(weights[name].any() for name in weights if name.endswith("o_proj.bias")):
        return "qkv"
    if attention != mlp:
        raise UserError(
            f"The checkpoint's config.json has attention_bias {attention} with mlp_bias {mlp}, "
            "which no model here computes."
        )
    return "all" if mlp else "none"


def stretch(config: Config) -> dict[str, Any]:
    """The rotation's fields, from `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before)."""
    scaling = {**read(config, "rope_scaling", {}), **read(config, "rope_parameters", {})}
    base = scaling.pop("rope_theta", None) or read(config, "rope_theta", 10_000.0)
    kind = scaling.pop("rope_type", None) or scaling.pop("type", None) or "default"
    scaling.pop("type", None)
    if kind == "default":
        refuse_unless(scaling, partial_rotary_factor=(1, 1.0))
        return {"rotary_base": float(base)}
    if kind != "yarn":
        raise UserError(f"The checkpoint stretches its rotary positions by {kind!r}, which no model here computes.")
    factor, context = read(scaling, "factor"), read(config, "max_position_embeddings")
    refuse_unless(
        scaling,
        original_max_position_embeddings=(round(context / factor),),
        beta_fast=(32,),
        beta_slow=(1,),
        mscale=(0, 1),
        mscale_all_dim=(0,),
        truncate=(True,),
        attention_factor=(0.1 * math.log(factor) + 1,),
        partial_rotary_factor=(1, 1.0),
    )
    return {"rotary_base": float(base), "rotary_stretch": "yarn", "rotary_factor": float(factor)}


def _window(config: Config) -> dict[str, Any]:
    """The attention pattern; a window as long as the context is none."""
    kinds, kind = set(read(config, "layer_types", ())), read(config, "model_type")
    span = config.get("sliding_window")
    used = kind == "mistral" or (kind in ("qwen2", "qwen3") and config.get("use_sliding_window"))
    if not used or span is None or span >= read(config, "max_position_embeddings") or kinds == {"full_attention"}:
        return {}
    if kinds - {"sliding_attention"} or (kind != "mistral" and not kinds and read(config, "max_window_layers", 28) > 0):
        raise UserError("The checkpoint has a window in some layers only (layer_types), which no model here computes.")
    return {"attention": "window", "attention_span": span}


Limit = Callable[[ModelShape], str | None]


def _family(
    name: str,
    model_type: str,
    *,
    objective: str = "causal",
    limit: Limit = _even_limit,
    **wants: Collection[object],
) -> StockClass:
    common: dict[str, Collection[object]] = {
        "stack": ("decoder",),
        "norm": ("rms", "plain"),
        "norm_place": ("pre",),
        "positions": ("rotary",),
        "feed_forward": tuple(GATED_BY),
        "biases": ("none",),
        "qk_norm": (False,),
        "attention": ("full",),
        "experts": (1,),
        "segments": (0,),
        "pooler": (False,),
        "transform": (False,),
    }
    return StockClass(name, model_type, objective, {**common, **wants}, _rows, _config, _shape, limit=limit)


LLAMA = (
    _family("LlamaForCausalLM", "llama", biases=("none", "qkv", "all")),
    _family("ArceeForCausalLM", "arcee", feed_forward=tuple(UNGATED), biases=("none", "qkv", "all")),
    _family("MistralForCausalLM", "mistral", limit=rotation_limit, attention=("window", "full")),
    _family(
        "Qwen3ForCausalLM",
        "qwen3",
        limit=rotation_limit,
        qk_norm=(True,),
        biases=("none", "qkv"),
        attention=("full", "window"),
    ),
    _family("EuroBertForMaskedLM", "eurobert", objective="masked", stack=("encoder",), biases=("none", "qkv")),
)
"""In the order in which export tries them."""
QWEN2 = _family("Qwen2ForCausalLM", "qwen2", biases=("qkv",))
"""Read only: see the module's first lines."""
