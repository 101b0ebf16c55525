"""A model that goes on from a cache computes what it computes from the whole sequence, however that came in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from isoflop.errors import UserError
from isoflop.models import IGNORED, Batch, Cache, Model
from isoflop.models.build import STACKS
from isoflop.shapes import ModelShape
from models.transformers_weights import randomised

SMALL = ModelShape(layers=2, width=16, heads=4, kv_heads=2, vocab=23, context=14, ffn=20, norm_eps=1e-5)
POSITIONS = ["rotary", "learned", "sinusoidal", "relative", "alibi", "none"]
PATTERNS = {"full": None, "window": 3, "strided": 3, "block": 2}
STACK_NAMES = ["decoder", "encoder_decoder"]
PIECES = (5, 1, 1, 3, 1, 3)
"""So many tokens come in at once; 14 in all."""
TOLERANCE = 1e-9
"""In 64 bits, where what is left is rounding; tables of positions are the same 32 bits on both ways."""


def model_of(shape: ModelShape) -> Model:
    return randomised(STACKS[shape.stack](shape, logit_scale=0.6), spread=0.4).double()


def tokens(*size: int) -> Tensor:
    return torch.randint(SMALL.vocab, size, generator=torch.Generator().manual_seed(7))


def reading(inputs: Tensor, shape: ModelShape, **more: Tensor) -> Batch:
    source = tokens(9)[None].expand(len(inputs), -1) if shape.stack == "encoder_decoder" else None
    return Batch(inputs, torch.full_like(inputs, IGNORED), source=source)._replace(**more)


@torch.no_grad()
def by_pieces(model: Model, first: Batch, rest: Tensor, pieces: Iterable[int]) -> Tensor:
    """Logits of all tokens: the first batch's, and those of the tokens behind it, so many at once."""
    cache = Cache(model.shape.layers)
    found, start = [model.head(model.features(first, cache))], 0
    for size in pieces:
        found.append(model.head(model.features(first._replace(
            inputs=rest[:, start : start + size], documents=None, prefix=None), cache)))  # fmt: skip
        start += size
    return torch.cat(found, dim=1)


def assert_equal_logits(shape: ModelShape) -> None:
    model, inputs = model_of(shape), tokens(2, 14)
    found = by_pieces(model, reading(inputs[:, : PIECES[0]], shape), inputs[:, PIECES[0] :], PIECES[1:])
    with torch.no_grad():
        whole = model(reading(inputs, shape))
    assert whole.std() > 0.3
    assert (found - whole).abs().max() < TOLERANCE


@pytest.mark.parametrize("pattern", list(PATTERNS))
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("stack", STACK_NAMES)
def test_every_position_and_pattern(stack: str, positions: str, pattern: str) -> None:
    shape = dataclasses.replace(
        SMALL, stack=stack, positions=positions, attention=pattern, attention_span=PATTERNS[pattern]
    )
    assert_equal_logits(shape)


@pytest.mark.parametrize("stretch", ["ntk", "yarn"])
def test_stretched_rotations(stretch: str) -> None:
    assert_equal_logits(dataclasses.replace(SMALL, rotary_stretch=stretch, rotary_factor=2.0))


@pytest.mark.parametrize("change", [{"norm_place": "post", "norm": "layer"}, {"qk_norm": True}, {"kv_heads": 4}])
def test_blocks_of_other_kinds(change: dict[str, object]) -> None:
    for stack in STACK_NAMES:
        assert_equal_logits(dataclasses.replace(SMALL, stack=stack, **change))


@pytest.mark.parametrize("pattern", list(PATTERNS))
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("stack", STACK_NAMES)
def test_padding_on_the_left_changes_nothing(stack: str, positions: str, pattern: str) -> None:
    """Also where the padded sequence is longer than the context, as none of its parts is."""
    shape = dataclasses.replace(
        SMALL, stack=stack, positions=positions, attention=pattern, attention_span=PATTERNS[pattern]
    )
    model, long, short, rest = model_of(shape), tokens(5), tokens(2), tokens(2, 9)
    first = torch.stack((long, torch.cat((torch.zeros(3, dtype=torch.long), short))))
    documents = torch.tensor([[1] * 5, [0, 0, 0, 1, 1]])
    found = by_pieces(model, reading(first, shape, documents=documents), rest, [1, 1, 4, 1, 2])
    with torch.no_grad():
        for row, prompt in enumerate((long, short)):
            alone = model(reading(torch.cat((prompt, rest[row]))[None], shape))[0]
            assert (found[row, 5 - len(prompt) :] - alone).abs().max() < TOLERANCE


def test_padding_stays_unseen_where_one_sequence_is_left() -> None:
    model, short, rest, cache = model_of(SMALL), tokens(2), tokens(1, 3), Cache(SMALL.layers)
    first = torch.stack((tokens(5), torch.cat((torch.zeros(3, dtype=torch.long), short))))
    with torch.no_grad():
        model.features(reading(first, SMALL, documents=torch.tensor([[1] * 5, [0, 0, 0, 1, 1]])), cache)
        cache.select(torch.tensor([1]))
        found = model.head(model.features(reading(rest, SMALL), cache))
        alone = model(reading(torch.cat((short, rest[0]))[None], SMALL))[:, 2:]
    assert (found - alone).abs().max() < TOLERANCE


@pytest.mark.parametrize("pattern", list(PATTERNS))
def test_a_prefix_that_sees_itself_in_both_directions(pattern: str) -> None:
    shape = dataclasses.replace(SMALL, attention=pattern, attention_span=PATTERNS[pattern])
    model, inputs, prefix = model_of(shape), tokens(2, 14), torch.tensor([4, 4])
    first = reading(inputs[:, :4], shape, prefix=prefix)
    found = by_pieces(model, first, inputs[:, 4:], [1] * 10)
    with torch.no_grad():
        whole = model(reading(inputs, shape, prefix=prefix))
        causal = model(reading(inputs, shape))
    assert (found - whole).abs().max() < TOLERANCE
    assert (found - causal).abs().max() > 0.01


@pytest.mark.parametrize("stack", STACK_NAMES)
def test_sequences_may_be_taken_in_another_order_or_twice(stack: str) -> None:
    shape = dataclasses.replace(SMALL, stack=stack)
    model, inputs = model_of(shape), tokens(3, 10)
    source = tokens(3, 9) if stack == "encoder_decoder" else None
    batch = Batch(inputs, inputs, source=source, source_documents=None if source is None else torch.ones_like(source))
    rows, cache = torch.tensor([2, 0, 0, 1]), Cache(shape.layers)
    with torch.no_grad():
        model.features(batch._replace(inputs=inputs[:, :6]), cache)
        cache.select(rows)
        found = model.head(model.features(Batch(inputs[rows, 6:], inputs, source=source), cache))
        whole = model(batch)[rows, 6:]
    assert (found - whole).abs().max() < TOLERANCE


@pytest.mark.parametrize("positions", ["rotary", "learned", "sinusoidal"])
def test_a_sequence_beyond_the_context_is_refused(positions: str) -> None:
    shape = dataclasses.replace(SMALL, positions=positions)
    model = model_of(shape)
    with pytest.raises(UserError, match="grew to 15 tokens, but the model's context is 14"):
        by_pieces(model, reading(tokens(1, 13), shape), tokens(1, 2), [1, 1])
