"""Parameters and FLOPs of a shape, exactly, by convention.

Norms: two per layer (three in a decoder that also reads an encoder) and one more per stack, which is the final norm
where the norm comes first in its block, and the norm over the embedding where it comes last (BERT): the same count.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from isoflop.shapes.model_shape import ModelShape

RELATIVE_BUCKETS = 32
"""Rows of T5's table of relative positions (Raffel et al. 2020, arXiv 1910.10683, section 2.1)."""
PAIR_LABELS = 2
"""What a pooler's head tells apart: whether the second sentence follows the first (Devlin et al. 2019, section 3.1)."""


@dataclass(frozen=True)
class ParamCounts:
    """Parameters by convention.

    `body` is every weight between embedding and head, `embedding` the input tables (tokens, learned positions,
    segments), `head` the output matrix (0 where it is tied to the embedding, whose weights are then counted under
    `embedding`), what stands before it (`transform`) and the pooler with its pair's label; `total` all of them once.
    """

    body: int
    embedding: int
    head: int

    @property
    def total(self) -> int:
        return self.body + self.embedding + self.head


@lru_cache(maxsize=1024)
def count_params(shape: ModelShape) -> ParamCounts:
    """All parameters of `shape`, biases, gains and position tables included."""
    per_feature = {"plain": 0, "rms": 1, "layer": 2}[shape.norm]
    per_norm = shape.width * per_feature
    attention = attention_matrix_params(shape) + _attention_biases(shape)
    feed_forward = shape.experts * (expert_matrix_params(shape) + _expert_biases(shape)) + router_params(shape)
    query_key_norms = 2 * shape.head_size * per_feature if shape.qk_norm else 0
    stack = shape.layers * (attention + query_key_norms + feed_forward + 2 * per_norm) + per_norm
    if shape.positions == "relative":
        stack += RELATIVE_BUCKETS * shape.heads
    body = stack
    if shape.stack == "encoder_decoder":
        body = 2 * stack + shape.layers * (attention + per_norm)
    rows = shape.vocab + shape.segments + (shape.context if shape.positions == "learned" else 0)
    head = 0 if shape.tied else shape.vocab * shape.width
    if shape.transform:
        head += transform_matrix_params(shape) + per_norm
        head += shape.width + shape.vocab if shape.biases == "all" else 0
    if shape.pooler:
        head += (shape.width + PAIR_LABELS) * (shape.width + 1)
    return ParamCounts(body=body, embedding=rows * shape.width, head=head)


def matmul_params(shape: ModelShape) -> int:
    """Weights that multiply a token: the body's matrices and the output matrix (tied or not).

    This is the N of the 6ND convention used here: Porian et al. 2024 (arXiv 2406.19146, section 3.1) show that leaving
    out the head biases the exponent for small models, while the input embedding is a look-up without multiplication.
    Of experts only the active ones count. In an encoder-decoder a token passes one of two stacks: the count is the
    mean over an input and a target of equal length, the keys and values of cross-attention being made from the input.
    """
    attention = attention_matrix_params(shape)
    feed_forward = shape.active_experts * expert_matrix_params(shape) + router_params(shape)
    head = shape.vocab * shape.width + transform_matrix_params(shape)
    if shape.stack == "encoder_decoder":
        return (shape.layers * (3 * attention + 2 * feed_forward) + head) // 2
    return shape.layers * (attention + feed_forward) + head


def train_flops_per_token(shape: ModelShape) -> int:
    """Exact training FLOPs per token, forward and backward: 6 per matrix weight + 12 * layers * width * keys.

    The attention term (Chowdhery et al. 2022, arXiv 2204.02311, appendix B) counts the full T x T product, as
    the field's utilisation figures do, although a causal kernel may skip half of it; in a window, a block or a strided
    pattern only the keys that it holds. `width` is heads x head size. An encoder-decoder has three attentions over the
    two stacks, hence 18 in place of 12 for the mean token; the one between them always sees everything.
    """
    cross_keys = shape.context if shape.stack == "encoder_decoder" else 0
    keys = 12 * shape.attended + 6 * cross_keys
    return 6 * matmul_params(shape) + shape.layers * shape.attention_width * keys


def attention_matrix_params(shape: ModelShape) -> int:
    """Weights of one attention: query and output projection, key and value."""
    return 2 * shape.width * (shape.attention_width + shape.kv_width)


def expert_matrix_params(shape: ModelShape) -> int:
    """Weights of one feed-forward, or of one expert."""
    return shape.matrices_per_feed_forward * shape.width * shape.ffn


def transform_matrix_params(shape: ModelShape) -> int:
    """Weights of the matrix before an encoder's head (0 without `transform`)."""
    return shape.width**2 if shape.transform else 0


def router_params(shape: ModelShape) -> int:
    """Weights of a layer's router (0 without experts)."""
    return shape.width * shape.experts if shape.experts > 1 else 0


def _attention_biases(shape: ModelShape) -> int:
    query_key_value = shape.attention_width + 2 * shape.kv_width
    return {"none": 0, "qkv": query_key_value, "all": query_key_value + shape.width}[shape.biases]


def _expert_biases(shape: ModelShape) -> int:
    if shape.biases != "all":
        return 0
    return (shape.matrices_per_feed_forward - 1) * shape.ffn + shape.width
