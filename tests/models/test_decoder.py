"""The decoder computes what its definition says, and its weights are as many as the shape counts."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from isoflop.errors import UserError
from isoflop.models import IGNORED, PARAMETRIZATIONS, Batch, Decoder, build_model, parametrization
from isoflop.shapes import FeedForward, ModelShape

SHAPE = ModelShape(layers=2, width=24, heads=4, kv_heads=2, vocab=50, context=12, ffn=40, norm="plain")


def reference_logits(model: Decoder, tokens: list[int]) -> torch.Tensor:
    """The decoder's definition written out in float64, one position, head and pair at a time."""
    shape, weights = model.shape, {name: value.double() for name, value in model.state_dict().items()}
    size, group = shape.head_size, shape.heads // shape.n_kv_heads
    stream = [weights["embedding.weight"][token] for token in tokens]

    def normed(x: torch.Tensor) -> torch.Tensor:
        return x / (x.pow(2).mean() + 1e-6).sqrt()

    def turned(x: torch.Tensor, place: int) -> torch.Tensor:
        out = x.clone()
        for i in range(size // 2):
            angle = place * shape.rotary_base ** (-2 * i / size)
            a, b = x[i], x[i + size // 2]
            out[i], out[i + size // 2] = (
                a * math.cos(angle) - b * math.sin(angle),
                a * math.sin(angle) + b * math.cos(angle),
            )
        return out

    for layer in range(shape.layers):
        prefix = f"blocks.{layer}."
        parts = [(weights[prefix + "attention.qkv.weight"] @ normed(x)).view(-1, size) for x in stream]
        mixed = []
        for place, part in enumerate(parts):
            heads = []
            for head in range(shape.heads):
                query, key = turned(part[head], place), shape.heads + head // group
                scores = [
                    model.blocks[layer].attention.logit_scale * (query @ turned(parts[j][key], j))
                    for j in range(place + 1)
                ]
                share = torch.softmax(torch.stack(scores), 0)
                heads.append(sum(share[j] * parts[j][key + shape.n_kv_heads] for j in range(place + 1)))
            mixed.append(weights[prefix + "attention.out.weight"] @ torch.cat(heads))
        stream = [x + y for x, y in zip(stream, mixed, strict=True)]
        stream = [x + feed_forward(shape, weights, prefix, normed(x)) for x in stream]
    return torch.stack([weights["head.weight"] @ normed(x) for x in stream])


def feed_forward(shape: ModelShape, weights: dict[str, torch.Tensor], prefix: str, x: torch.Tensor) -> torch.Tensor:
    u = weights[prefix + "feed_forward.up.weight"] @ x
    if shape.feed_forward == "swiglu":
        gate, value = u[: shape.ffn], u[shape.ffn :]
        u = gate / (1 + torch.exp(-gate)) * value
    elif shape.feed_forward == "gelu":
        u = u * 0.5 * (1 + torch.erf(u / math.sqrt(2)))
    else:
        u = u.clamp(min=0) ** (2 if shape.feed_forward == "relu2" else 1)
    return weights[prefix + "feed_forward.down.weight"] @ u


def reading(tokens: torch.Tensor) -> Batch:
    """A batch of which nothing is to be predicted."""
    return Batch(tokens, torch.full_like(tokens, IGNORED))


@pytest.mark.parametrize("kind", ["swiglu", "gelu", "relu", "relu2"])
@pytest.mark.parametrize("tied", [False, True])
def test_logits_equal_the_definition_written_out(kind: FeedForward, tied: bool) -> None:
    shape = dataclasses.replace(SHAPE, feed_forward=kind, tied=tied)
    model, _ = build_model(shape, parametrization("u-mup"), base=shape, seed=1)
    tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
    with torch.no_grad():
        logits = model(reading(torch.tensor([tokens])))[0]
        assert torch.allclose(logits.double(), reference_logits(model, tokens), atol=1e-4, rtol=1e-4)


def test_no_token_sees_a_later_one() -> None:
    model, _ = build_model(SHAPE, parametrization("u-mup"), base=SHAPE, seed=0)
    tokens = torch.randint(50, (1, 12))
    changed = tokens.clone()
    changed[0, 7] = (tokens[0, 7] + 1) % 50
    with torch.no_grad():
        before, after = model(reading(tokens))[0], model(reading(changed))[0]
    assert torch.equal(before[:7], after[:7])
    assert not torch.allclose(before[7:], after[7:])


@pytest.mark.parametrize("name", sorted(PARAMETRIZATIONS))
def test_first_weights_depend_on_seed_and_name_alone(name: str) -> None:
    table = parametrization(name)
    first, _ = build_model(SHAPE, table, base=SHAPE, seed=0)
    deeper, _ = build_model(
        dataclasses.replace(SHAPE, layers=3), table, base=dataclasses.replace(SHAPE, layers=3), seed=0
    )
    other, _ = build_model(SHAPE, table, base=SHAPE, seed=1)
    assert torch.equal(first.embedding.weight, deeper.embedding.weight)
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


def test_a_shape_that_is_not_built_is_refused() -> None:
    with pytest.raises(UserError, match="not built: 4 experts"):
        Decoder(dataclasses.replace(SHAPE, experts=4), logit_scale=1.0)
