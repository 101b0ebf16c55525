"""Each stack computes what its definition says: every position, pattern, norm, feed-forward and kind of batch."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from isoflop.models import IGNORED, Batch
from isoflop.models.build import STACKS
from isoflop.shapes import ModelShape
from models.reference import reference_logits
from models.transformers_weights import randomised

SMALL = ModelShape(layers=2, width=16, heads=4, vocab=23, context=14, ffn=20, norm_eps=1e-5)
STACK_NAMES = ["decoder", "encoder", "encoder_decoder"]
PACKED = torch.tensor([[1] * 5 + [2] * 7 + [0] * 2, [3] * 11 + [1] * 3])
SOURCE_PACKED = torch.tensor([[1] * 3 + [2] * 6, [3] * 5 + [0] * 4])


def batch_for(shape: ModelShape, *, packed: bool = False, prefix: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randint(shape.vocab, PACKED.shape, generator=generator)
    batch = Batch(inputs, torch.full_like(inputs, IGNORED))
    if shape.stack == "encoder_decoder":
        batch = batch._replace(source=torch.randint(shape.vocab, SOURCE_PACKED.shape, generator=generator))
    if packed:
        batch = batch._replace(documents=PACKED)
        if batch.source is not None:
            batch = batch._replace(source_documents=SOURCE_PACKED)
    if prefix:
        batch = batch._replace(prefix=torch.tensor([4, 9]))
    return batch


def assert_as_defined(shape: ModelShape, *batches: Batch) -> None:
    model = randomised(STACKS[shape.stack](shape, logit_scale=0.6), spread=0.4)
    for batch in batches:
        with torch.no_grad():
            found = model(batch)
            expected = reference_logits(model, batch)
            assert expected.std() > 0.3
            assert (found.double() - expected).abs().max() < 1e-4
            assert (model.double()(batch) - expected).abs().max() < 1e-5  # tables of positions are in 32 bits
            model.float()


@pytest.mark.parametrize("positions", ["rotary", "learned", "sinusoidal", "relative", "alibi", "none"])
@pytest.mark.parametrize("stack", STACK_NAMES)
def test_positions(stack: str, positions: str) -> None:
    shape = dataclasses.replace(SMALL, stack=stack, positions=positions)
    assert_as_defined(shape, batch_for(shape), batch_for(shape, packed=True))


@pytest.mark.parametrize("span", [1, 2, 3, 6])
@pytest.mark.parametrize("attention", ["window", "strided", "block"])
@pytest.mark.parametrize("stack", STACK_NAMES)
def test_patterns(stack: str, attention: str, span: int) -> None:
    shape = dataclasses.replace(SMALL, stack=stack, attention=attention, attention_span=span)
    assert_as_defined(shape, batch_for(shape), batch_for(shape, packed=True))


@pytest.mark.parametrize("attention", ["full", "window", "block"])
@pytest.mark.parametrize("stack", ["decoder", "encoder_decoder"])
def test_prefixes(stack: str, attention: str) -> None:
    for positions, span in (("relative", 3), ("rotary", 2)):
        span = None if attention == "full" else span
        shape = dataclasses.replace(SMALL, stack=stack, attention=attention, attention_span=span, positions=positions)
        assert_as_defined(shape, batch_for(shape, prefix=True), batch_for(shape, prefix=True, packed=True))


@pytest.mark.parametrize("place", ["pre", "post"])
@pytest.mark.parametrize("norm", ["rms", "layer", "plain"])
@pytest.mark.parametrize("stack", STACK_NAMES)
def test_norms(stack: str, norm: str, place: str) -> None:
    shape = dataclasses.replace(SMALL, stack=stack, norm=norm, norm_place=place, qk_norm=True)
    assert_as_defined(shape, batch_for(shape))


@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "relu", "relu2", "swiglu", "geglu"])
def test_feed_forwards(kind: str) -> None:
    shape = dataclasses.replace(SMALL, feed_forward=kind, tied=True)
    assert_as_defined(shape, batch_for(shape))


@pytest.mark.parametrize("biases", ["none", "qkv", "all"])
@pytest.mark.parametrize("kv_heads", [1, 2])
@pytest.mark.parametrize("stack", STACK_NAMES)
def test_shared_heads_and_biases(stack: str, kv_heads: int, biases: str) -> None:
    shape = dataclasses.replace(SMALL, stack=stack, kv_heads=kv_heads, biases=biases, size_per_head=6)
    assert_as_defined(shape, batch_for(shape))


def test_segments_and_the_layer_before_the_head() -> None:
    shape = dataclasses.replace(SMALL, stack="encoder", segments=3, transform=True, biases="all", feed_forward="gelu")
    batch = batch_for(shape)
    assert_as_defined(shape, batch, batch._replace(segments=batch.inputs % 3))
