"""A Transformer's size as integers: what it is made of. What that adds up to is counted in `counting`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from isoflop.shapes.possible import refuse_the_impossible
from isoflop.shapes.switches import (
    AttentionPattern,
    Biases,
    FeedForward,
    Norm,
    NormPlace,
    Positions,
    RotaryStretch,
    Stack,
)


@dataclass(frozen=True)
class ModelShape:
    """The integers of a Transformer; the defaults are a decoder in Llama's manner.

    `width` is the size of the residual stream, `ffn` the hidden size of the feed-forward, `context` the longest
    sequence in tokens. Heads share the width unless `size_per_head` says otherwise. In an encoder-decoder each of the
    two stacks has `layers` layers. With `experts` > 1 every feed-forward is a router and that many experts, of which
    a token visits `active_experts`.

    `positions`: learned has a table of `context` rows, relative is T5's table of 32 buckets per head and stack, alibi
    a fixed slope per head. A stretched rotation serves `rotary_factor` times the context that it was made for:
    `context` is the stretched one. `attention`: window sees tokens nearer than `attention_span`, block those of its
    own block of so many, strided the window and every `attention_span`-th token. `dropout` is the share of zeros in
    embeddings, attention and what each layer adds. `segments` are BERT's token types, `pooler` its layer on the first
    token with a pair's label behind it, `transform` its layer before the head (with a bias on the logits where
    `biases` is all).
    """

    layers: int
    width: int
    heads: int
    vocab: int
    context: int
    ffn: int
    kv_heads: int | None = None
    feed_forward: FeedForward = "swiglu"
    tied: bool = False
    size_per_head: int | None = None
    stack: Stack = "decoder"
    norm: Norm = "rms"
    biases: Biases = "none"
    positions: Positions = "rotary"
    segments: int = 0
    pooler: bool = False
    transform: bool = False
    norm_place: NormPlace = "pre"
    norm_eps: float = 1e-6
    qk_norm: bool = False
    rotary_base: float = 10_000.0
    rotary_stretch: RotaryStretch = "none"
    rotary_factor: float = 1.0
    attention: AttentionPattern = "full"
    attention_span: int | None = None
    dropout: float = 0.0
    experts: int = 1
    active_experts: int = 1

    def __post_init__(self) -> None:
        refuse_the_impossible(self)

    @property
    def head_size(self) -> int:
        return self.width // self.heads if self.size_per_head is None else self.size_per_head

    @property
    def n_kv_heads(self) -> int:
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def attention_width(self) -> int:
        """What the query, and the input of the output projection, are wide: heads x head size."""
        return self.heads * self.head_size

    @property
    def kv_width(self) -> int:
        """What the key, and the value, are wide."""
        return self.n_kv_heads * self.head_size

    @property
    def matrices_per_feed_forward(self) -> int:
        return 3 if self.is_gated else 2

    @property
    def is_gated(self) -> bool:
        """Whether the feed-forward multiplies two halves of its hidden layer."""
        return self.feed_forward in ("swiglu", "geglu")

    @property
    def attended(self) -> int:
        """Keys whose scores a token of a full context needs, by the convention that a causal half counts whole."""
        if self.attention == "full" or self.attention_span is None:
            return self.context
        both_sides = self.stack == "encoder" and self.attention != "block"
        near = 2 * self.attention_span - 1 if both_sides else self.attention_span
        far = self.context // self.attention_span if self.attention == "strided" else 0
        return min(near + far, self.context)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
