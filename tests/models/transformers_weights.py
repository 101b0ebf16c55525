"""Random models of `transformers` in small, and their weights under our names: written out, layer by layer.

q, k and v lie in one matrix of ours; GPT-2's matrices are stored transposed; what T5 does otherwise (logits without a
scale, features times width^-1/2 before a tied head) is folded into the weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

State = dict[str, Tensor]


def randomised(model: torch.nn.Module, seed: int = 0, spread: float = 0.3) -> torch.nn.Module:
    """Every weight drawn anew around 0, or 1 where it is a gain, so that none of them is without effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            is_gain = weight.dim() == 1 and name.endswith("weight")
            weight.copy_(is_gain + spread * torch.randn(weight.shape, generator=generator))
    return model.eval()


def gpt2_weights(theirs: State, layers: int) -> State:
    ours = {"embedding.weight": theirs["wte.weight"], "position_table.weight": theirs["wpe.weight"]}
    names = {
        "attention_norm": "ln_1", "attention.qkv": "attn.c_attn", "attention.out": "attn.c_proj",
        "feed_forward_norm": "ln_2", "feed_forward.up": "mlp.c_fc", "feed_forward.down": "mlp.c_proj",
    }  # fmt: skip
    for i in range(layers):
        for mine, their in names.items():
            weight = theirs[f"h.{i}.{their}.weight"]
            ours[f"blocks.{i}.{mine}.weight"] = weight.T if weight.dim() == 2 else weight
            ours[f"blocks.{i}.{mine}.bias"] = theirs[f"h.{i}.{their}.bias"]
    return ours | {f"norm.{kind}": theirs[f"ln_f.{kind}"] for kind in ("weight", "bias")}


def llama_weights(theirs: State, layers: int) -> State:
    ours = {"embedding.weight": theirs["embed_tokens.weight"], "norm.weight": theirs["norm.weight"]}
    for i in range(layers):
        a, b = f"blocks.{i}.", f"layers.{i}."
        ours[a + "attention_norm.weight"] = theirs[b + "input_layernorm.weight"]
        ours[a + "feed_forward_norm.weight"] = theirs[b + "post_attention_layernorm.weight"]
        ours[a + "attention.out.weight"] = theirs[b + "self_attn.o_proj.weight"]
        for kind in ("weight", "bias"):
            parts = [theirs.get(f"{b}self_attn.{one}_proj.{kind}") for one in "qkv"]
            if parts[0] is not None:
                ours[a + "attention.qkv." + kind] = torch.cat(parts)
        for one in ("q_norm", "k_norm"):
            if f"{b}self_attn.{one}.weight" in theirs:
                ours[f"{a}attention.{one}.weight"] = theirs[f"{b}self_attn.{one}.weight"]
        gate_up = [theirs[f"{b}mlp.{one}_proj.weight"] for one in ("gate", "up")]
        ours[a + "feed_forward.up.weight"] = torch.cat(gate_up)
        ours[a + "feed_forward.down.weight"] = theirs[b + "mlp.down_proj.weight"]
    return ours


def bert_weights(theirs: State, layers: int) -> State:
    """Of BertForPreTraining."""
    names = {
        "embedding": "bert.embeddings.word_embeddings", "position_table": "bert.embeddings.position_embeddings",
        "segment_table": "bert.embeddings.token_type_embeddings", "embedding_norm": "bert.embeddings.LayerNorm",
        "pooler": "bert.pooler.dense", "pair_head": "cls.seq_relationship",
        "transform": "cls.predictions.transform.dense", "transform_norm": "cls.predictions.transform.LayerNorm",
    }  # fmt: skip
    for i in range(layers):
        a, b = f"blocks.{i}.", f"bert.encoder.layer.{i}."
        names[a + "attention.out"] = b + "attention.output.dense"
        names[a + "attention_norm"] = b + "attention.output.LayerNorm"
        names[a + "feed_forward.up"] = b + "intermediate.dense"
        names[a + "feed_forward.down"] = b + "output.dense"
        names[a + "feed_forward_norm"] = b + "output.LayerNorm"
    ours = {
        "head.bias": theirs["cls.predictions.bias"],
        "head.weight": theirs["bert.embeddings.word_embeddings.weight"],
    }
    for mine, their in names.items():
        for kind in ("weight", "bias"):
            if f"{their}.{kind}" in theirs:
                ours[f"{mine}.{kind}"] = theirs[f"{their}.{kind}"]
    for i in range(layers):
        for kind in ("weight", "bias"):
            own = [theirs[f"bert.encoder.layer.{i}.attention.self.{one}.{kind}"] for one in ("query", "key", "value")]
            ours[f"blocks.{i}.attention.qkv.{kind}"] = torch.cat(own)
    return ours


def t5_weights(theirs: State, layers: int, *, head_size: int, scaled: bool) -> State:
    """Of T5ForConditionalGeneration; `scaled`: it multiplies features by width^-1/2 before the head."""
    ours = {"embedding.weight": theirs["shared.weight"], "head.weight": theirs["lm_head.weight"]}
    unscaled = math.sqrt(head_size)  # T5 leaves q·k as it is, ours is divided by √head_size
    for side in ("encoder", "decoder"):
        gain = theirs[f"{side}.final_layer_norm.weight"]
        by = gain.shape[0] ** -0.5 if scaled and side == "decoder" else 1.0
        ours[f"{side}.norm.weight"] = gain * by
        table = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        ours[f"{side}.relative.weight"] = theirs[table]
        for i in range(layers):
            a, b = f"{side}.blocks.{i}.", f"{side}.block.{i}.layer."
            q, k, v, o = (theirs[f"{b}0.SelfAttention.{one}.weight"] for one in "qkvo")
            ours[a + "attention.qkv.weight"] = torch.cat((unscaled * q, k, v))
            ours[a + "attention.out.weight"] = o
            ours[a + "attention_norm.weight"] = theirs[b + "0.layer_norm.weight"]
            if side == "decoder":
                q, k, v, o = (theirs[f"{b}1.EncDecAttention.{one}.weight"] for one in "qkvo")
                ours[a + "cross.q.weight"], ours[a + "cross.kv.weight"] = unscaled * q, torch.cat((k, v))
                ours[a + "cross.out.weight"] = o
                ours[a + "cross_norm.weight"] = theirs[b + "1.layer_norm.weight"]
            last = b + ("2." if side == "decoder" else "1.")
            ups = [theirs[last + f"DenseReluDense.{one}.weight"] for one in ("wi", "wi_0", "wi_1")
                   if last + f"DenseReluDense.{one}.weight" in theirs]  # fmt: skip
            ours[a + "feed_forward.up.weight"] = torch.cat(ups)
            ours[a + "feed_forward.down.weight"] = theirs[last + "DenseReluDense.wo.weight"]
            ours[a + "feed_forward_norm.weight"] = theirs[last + "layer_norm.weight"]
    return ours
