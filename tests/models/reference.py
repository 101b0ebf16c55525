"""The three models' definition written out in float64: one token, head and pair at a time, no tensor of masks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from isoflop.models import Batch, Encoder, EncoderDecoder, Model
from isoflop.shapes import ModelShape

Vectors = list[Tensor]


def reference_logits(model: Model, batch: Batch) -> Tensor:
    """Logits (B, T, V) of a model in evaluation."""
    reference = Reference(model)
    return torch.stack([torch.stack(reference.logits(batch, row)) for row in range(len(batch.inputs))])


class Reference:
    """A model's weights in float64 and its definition over them."""

    def __init__(self, model: Model) -> None:
        self.shape, self.kind = model.shape, type(model)
        self.weights = {name: weight.double() for name, weight in model.state_dict().items()}
        blocks = model.decoder.blocks if isinstance(model, EncoderDecoder) else model.blocks
        self.logit_scale = blocks[0].attention.logit_scale

    def logits(self, batch: Batch, row: int) -> Vectors:
        documents, prefix = numbers(batch.documents, row), numbers(batch.prefix, row)
        stream = self.embed(numbers(batch.inputs, row), documents, numbers(batch.segments, row))
        if self.kind is EncoderDecoder:
            there = numbers(batch.source_documents, row)
            memory = self.stack("encoder.", self.embed(numbers(batch.source, row), there, None), there, causal=False)
            crossed = (memory, there)
            states = self.stack("decoder.", stream, documents, causal=True, prefix=prefix, crossed=crossed)
        else:
            states = self.stack("", stream, documents, causal=self.kind is not Encoder, prefix=prefix)
        if self.shape.transform:
            states = [self.norm("transform_norm", self.activated(self.linear("transform", x))) for x in states]
        return [self.linear("head", x) for x in states]

    def embed(self, tokens, documents, segments) -> Vectors:
        stream = []
        for i, token in enumerate(tokens):
            x, place = self.weights["embedding.weight"][token], place_of(i, documents)
            if self.shape.positions == "learned":
                x = x + self.weights["position_table.weight"][place]
            if self.shape.positions == "sinusoidal":
                x = x + sinusoid(place, self.shape.width)
            if self.shape.segments:
                x = x + self.weights["segment_table.weight"][0 if segments is None else segments[i]]
            stream.append(x)
        return stream

    def stack(self, side: str, stream: Vectors, documents, *, causal: bool, prefix=None, crossed=None) -> Vectors:
        first = self.shape.norm_place == "pre"
        if not first:
            stream = [self.norm(side + "embedding_norm", x) for x in stream]

        def sees(i: int, j: int) -> bool:
            return visible(self.shape, i, j, causal=causal, documents=documents, prefix=prefix)

        def sees_source(i: int, j: int) -> bool:
            there = crossed[1]
            if documents is not None and documents[i] == 0:
                return False
            return there is None or (there[j] != 0 and (documents is None or documents[i] == there[j]))

        for layer in range(self.shape.layers):
            block = f"{side}blocks.{layer}."
            steps = [("attention", lambda xs, b=block: self.self_attention(b, side, xs, sees, causal))]
            if crossed is not None:
                steps.append(("cross", lambda xs, b=block: self.cross_attention(b, xs, crossed[0], sees_source)))
            steps.append(("feed_forward", lambda xs, b=block: [self.feed_forward(b, x) for x in xs]))
            for name, step in steps:
                if first:
                    added = step([self.norm(f"{block}{name}_norm", x) for x in stream])
                    stream = [x + y for x, y in zip(stream, added, strict=True)]
                else:
                    added = step(stream)
                    stream = [self.norm(f"{block}{name}_norm", x + y) for x, y in zip(stream, added, strict=True)]
        return [self.norm(side + "norm", x) for x in stream] if first else stream

    def self_attention(self, block: str, side: str, xs: Vectors, sees, causal: bool) -> Vectors:
        heads, kv = self.shape.heads, self.shape.n_kv_heads
        parts = [self.linear(block + "attention.qkv", x).view(-1, self.shape.head_size) for x in xs]
        queries, keys = [list(part[:heads]) for part in parts], [list(part[heads : heads + kv]) for part in parts]
        if self.shape.qk_norm:
            queries = [[self.norm(block + "attention.q_norm", q) for q in one] for one in queries]
            keys = [[self.norm(block + "attention.k_norm", k) for k in one] for one in keys]
        if self.shape.positions == "rotary":
            queries = [[turned(self.shape, q, i) for q in one] for i, one in enumerate(queries)]
            keys = [[turned(self.shape, k, i) for k in one] for i, one in enumerate(keys)]
        values = [list(part[heads + kv :]) for part in parts]

        def bias(head: int, i: int, j: int) -> float:
            if self.shape.positions == "alibi":
                return -slope(head, heads) * abs(i - j)
            if self.shape.positions == "relative":
                return self.weights[side + "relative.weight"][bucket(j - i, both_sides=not causal), head].item()
            return 0.0

        return [
            self.linear(block + "attention.out", self.mix(i, queries[i], keys, values, sees, bias))
            for i in range(len(xs))
        ]

    def cross_attention(self, block: str, xs: Vectors, memory: Vectors, sees) -> Vectors:
        kv, size = self.shape.n_kv_heads, self.shape.head_size
        made = [self.linear(block + "cross.kv", y).view(-1, size) for y in memory]
        keys, values = [list(one[:kv]) for one in made], [list(one[kv:]) for one in made]
        queries = [self.linear(block + "cross.q", x).view(-1, size) for x in xs]
        return [
            self.linear(block + "cross.out", self.mix(i, queries[i], keys, values, sees, lambda head, i, j: 0.0))
            for i in range(len(xs))
        ]

    def mix(self, i: int, queries, keys, values, sees, bias) -> Tensor:
        group, seen = self.shape.heads // self.shape.n_kv_heads, [j for j in range(len(keys)) if sees(i, j)]
        if not seen:
            return torch.zeros(self.shape.attention_width, dtype=torch.float64)
        out = []
        for head in range(self.shape.heads):
            scores = [self.logit_scale * (queries[head] @ keys[j][head // group]) + bias(head, i, j) for j in seen]
            shares = torch.softmax(torch.stack(scores), 0)
            out.append(sum(share * values[j][head // group] for share, j in zip(shares, seen, strict=True)))
        return torch.cat(out)

    def feed_forward(self, block: str, x: Tensor) -> Tensor:
        u = self.linear(block + "feed_forward.up", x)
        if self.shape.feed_forward in ("swiglu", "geglu"):
            u = self.activated(u[: self.shape.ffn]) * u[self.shape.ffn :]
        else:
            u = self.activated(u)
        return self.linear(block + "feed_forward.down", u)

    def activated(self, u: Tensor) -> Tensor:
        kind = self.shape.feed_forward
        if kind == "swiglu":
            return u / (1 + torch.exp(-u))
        if kind == "gelu":
            return u * 0.5 * (1 + torch.erf(u / math.sqrt(2)))
        if kind in ("gelu_tanh", "geglu"):
            return 0.5 * u * (1 + torch.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)))
        return u.clamp(min=0) ** (2 if kind == "relu2" else 1)

    def linear(self, name: str, x: Tensor) -> Tensor:
        y = self.weights[name + ".weight"] @ x
        return y + self.weights[name + ".bias"] if name + ".bias" in self.weights else y

    def norm(self, name: str, x: Tensor) -> Tensor:
        x = x - x.mean() if self.shape.norm == "layer" else x
        x = x / (x.pow(2).mean() + self.shape.norm_eps).sqrt()
        if name + ".weight" in self.weights:
            x = x * self.weights[name + ".weight"]
        return x + self.weights[name + ".bias"] if name + ".bias" in self.weights else x


def numbers(part: Tensor | None, row: int):
    """A row of a batch's part as plain numbers."""
    return None if part is None else part[row].tolist()


def visible(shape: ModelShape, i: int, j: int, *, causal: bool, documents=None, prefix=None) -> bool:
    """Whether the token at i sees the one at j."""
    if documents is not None and (documents[i] == 0 or documents[i] != documents[j]):
        return False
    if causal and j > i and (prefix is None or j >= prefix):
        return False
    span, away = shape.attention_span, abs(i - j)
    if shape.attention == "window":
        return away < span
    if shape.attention == "strided":
        return away < span or away % span == 0
    if shape.attention == "block":
        return place_of(i, documents) // span == place_of(j, documents) // span
    return True


def place_of(i: int, documents) -> int:
    """How many tokens of its document, one after another, stand before token i."""
    place = 0
    while documents is not None and i - place > 0 and documents[i - place - 1] == documents[i]:
        place += 1
    return i if documents is None else place


def turned(shape: ModelShape, x: Tensor, place: int) -> Tensor:
    """A head's pairs (i, i + C/2) turned by place × frequency."""
    size, out = shape.head_size, x.clone()
    for i in range(size // 2):
        angle = place * shape.rotary_base ** (-2 * i / size)
        a, b = x[i], x[i + size // 2]
        out[i] = a * math.cos(angle) - b * math.sin(angle)
        out[i + size // 2] = a * math.sin(angle) + b * math.cos(angle)
    return out


def sinusoid(place: int, width: int) -> Tensor:
    """Sine and cosine by turns, slower and slower."""
    row = []
    for i in range(0, width, 2):
        angle = place / 10_000 ** (i / width)
        row += [math.sin(angle), math.cos(angle)]
    return torch.tensor(row, dtype=torch.float64)


def slope(head: int, heads: int) -> float:
    """ALiBi's slope of a head, counted from 0, of a power of two heads."""
    assert heads & (heads - 1) == 0
    return 2 ** (-8 * (head + 1) / heads)


def bucket(distance: int, *, both_sides: bool) -> int:
    """T5's bucket of a distance: half of them for each side, half of these for one distance each, then by logarithm."""
    start, buckets = (16 if both_sides and distance > 0 else 0), 16 if both_sides else 32
    away, alone = abs(distance) if both_sides else max(-distance, 0), buckets // 2
    if away < alone:
        return start + away
    return start + min(buckets - 1, alone + int(math.log(away / alone) / math.log(128 / alone) * (buckets - alone)))
