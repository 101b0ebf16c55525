"""With a prompt or prefixes before it a model goes on from a cache as it reads the whole sequence, padded or not."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from isoflop.errors import UserError
from isoflop.models import IGNORED, PADDING, Batch, Cache, EncoderDecoder, Model
from isoflop.models.attention import Attention
from isoflop.models.build import STACKS
from isoflop.models.layers import Layers
from isoflop.models.prompts import Prefix, Prompt
from isoflop.shapes import ModelShape
from models.transformers_weights import randomised

SMALL = ModelShape(layers=2, width=16, heads=4, kv_heads=2, vocab=23, context=20, ffn=20, norm_eps=1e-5)
POSITIONS = ["rotary", "learned", "sinusoidal", "relative", "alibi", "none"]
LENGTH, TOLERANCE = 3, 1e-9


def drawn(*size: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(size, generator=torch.Generator().manual_seed(sum(size)), dtype=torch.float64))


def adapted(shape: ModelShape, kind: str) -> Model:
    """A random model in 64 bits with a prompt (of an encoder-decoder: before its source) or prefixes."""
    model = randomised(STACKS[shape.stack](shape, logit_scale=0.6), spread=0.4).double()
    first = model.encoder if isinstance(model, EncoderDecoder) else model
    if kind == "prompt":
        assert isinstance(first, Layers)
        first.prompt = Prompt(drawn(LENGTH, shape.width))
        return model
    for layer in [part for part in model.modules() if isinstance(part, Attention)]:
        size = (shape.n_kv_heads, LENGTH, shape.head_size)
        layer.prefix = Prefix(drawn(*size), drawn(*size) * 2)
    return model


def tokens(*size: int) -> Tensor:
    return torch.randint(SMALL.vocab, size, generator=torch.Generator().manual_seed(7))


def reading(inputs: Tensor, shape: ModelShape, documents: Tensor | None = None) -> Batch:
    source = tokens(9)[None].expand(len(inputs), -1) if shape.stack == "encoder_decoder" else None
    return Batch(inputs, torch.full_like(inputs, IGNORED), documents, source=source)


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize(
    ("stack", "pattern"), [("decoder", "full"), ("decoder", "strided"), ("encoder_decoder", "full")]
)
def test_from_a_cache_as_from_the_whole_sequence(kind: str, positions: str, stack: str, pattern: str) -> None:
    span = None if pattern == "full" else 4
    shape = dataclasses.replace(SMALL, stack=stack, positions=positions, attention=pattern, attention_span=span)
    model, long, short, rest = adapted(shape, kind), tokens(5), tokens(2), tokens(2, 9)
    first = torch.stack((long, torch.cat((torch.zeros(3, dtype=torch.long), short))))
    padded = reading(first, shape, torch.tensor([[1] * 5, [PADDING] * 3 + [1, 1]]))
    with torch.no_grad():
        for batch in (padded, reading(long.expand(2, -1), shape)):
            cache = Cache(shape.layers)
            found = [model.head(model.features(batch, cache))]
            found += [model.head(model.features(reading(one, shape), cache)) for one in rest.split([1, 5, 1, 2], 1)]
            for row, prompt in enumerate((long, short if batch is padded else long)):
                alone = model(reading(torch.cat((prompt, rest[row]))[None], shape))[0]
                assert (torch.cat(found, dim=1)[row, 5 - len(prompt) :] - alone).abs().max() < TOLERANCE


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
def test_sequences_of_a_cache_may_be_taken_in_another_order(kind: str) -> None:
    model, inputs, cache, rows = adapted(SMALL, kind), tokens(3, 10), Cache(SMALL.layers), torch.tensor([2, 0, 0, 1])
    with torch.no_grad():
        model.features(reading(inputs[:, :6], SMALL), cache)
        cache.select(rows)
        found = model.head(model.features(reading(inputs[rows, 6:], SMALL), cache))
        whole = model(reading(inputs, SMALL))[rows, 6:]
    assert (found - whole).abs().max() < TOLERANCE


def test_a_decoder_sees_what_an_encoder_makes_of_its_prompt() -> None:
    """And padding behind the source changes nothing."""
    shape = dataclasses.replace(SMALL, stack="encoder_decoder")
    model, inputs, source = adapted(shape, "prompt"), tokens(1, 4), tokens(1, 6)
    plain = Batch(inputs, inputs, source=source)
    memory, _ = model.encode(plain)
    assert memory.shape == (1, LENGTH + 6, shape.width)
    nowhere, there = torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 6, dtype=torch.long)
    padded = plain._replace(
        source=torch.cat((source, nowhere), dim=1), source_documents=torch.cat((there, nowhere), dim=1)
    )
    assert (model(padded) - model(plain)).abs().max() < TOLERANCE


@torch.no_grad()
def test_a_text_and_a_prompt_longer_than_the_context_are_refused() -> None:
    model = adapted(SMALL, "prompt")
    assert model.room == 17
    model(reading(tokens(1, 17), SMALL))
    with pytest.raises(
        UserError, match="18 tokens a sequence and the prompt before them 3, but the model's context is 20"
    ):
        model(reading(tokens(1, 18), SMALL))
    cache = Cache(SMALL.layers)
    model.features(reading(tokens(1, 17), SMALL), cache)
    with pytest.raises(UserError, match="grew to 21 tokens"):
        model.features(reading(tokens(1, 1), SMALL), cache)
    assert (
        adapted(dataclasses.replace(SMALL, positions="alibi"), "prompt")(reading(tokens(1, 30), SMALL)).isfinite().all()
    )
