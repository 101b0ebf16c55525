"""Segments of many texts in one pass give what each segment alone gives, joined; nothing leaks between texts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from isoflop.adaptation.batches import padded
from isoflop.adaptation.classifier import pooled
from isoflop.adaptation.long_text import Segments, with_windows
from isoflop.errors import UserError
from isoflop.models import Batch, Encoder
from isoflop.shapes import ModelShape

SHAPE = ModelShape(2, 16, 2, vocab=50, context=8, ffn=32, stack="encoder", positions="learned")
TEXTS = [list(range(3, 24)), [5, 6], list(range(20, 36)), list(range(10, 18))]
"""21, 2, 16 and 8 tokens: three segments with a short one, one, two full ones, one full one."""


@pytest.fixture
def body() -> Encoder:
    torch.manual_seed(0)
    return Encoder(SHAPE, logit_scale=8**-0.5).eval()


def alone(body: Encoder, text: list[int]) -> Tensor:
    """Vectors of a text's segments, each from a pass of its own: (S, D)."""
    pieces = [text[at : at + 8] for at in range(0, len(text), 8)]
    return torch.stack([body.states(padded([piece]))[0].mean(dim=0) for piece in pieces])


def read_by(body: Encoder):  # type: ignore[no-untyped-def]
    return lambda batch: pooled(body.states(batch), batch.documents, "mean")


def test_texts_of_different_numbers_of_segments_are_joined_as_each_alone(body: Encoder) -> None:
    for join, joined in (("mean", lambda x: x.mean(dim=0)), ("max", lambda x: x.amax(dim=0))):
        segments = Segments(SHAPE, tokens=8, join=join, most=4, seed=0)
        found = segments(padded(TEXTS), read_by(body))
        expected = torch.stack([joined(alone(body, text)) for text in TEXTS])
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_transformer_over_segments_sees_only_the_texts_own(body: Encoder) -> None:
    segments = Segments(SHAPE, tokens=8, join="transformer", most=4, seed=0).eval()
    together = segments(padded(TEXTS), read_by(body))
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(together[row], segments(padded([text]), read_by(body))[0], atol=1e-5, rtol=1e-5)


def test_the_transformer_over_segments_tells_their_order(body: Encoder) -> None:
    segments = Segments(SHAPE, tokens=8, join="transformer", most=4, seed=0).eval()
    forth, back = TEXTS[2], TEXTS[2][8:] + TEXTS[2][:8]
    mean = Segments(SHAPE, tokens=8, join="mean", most=4, seed=0)
    for reader, differs in ((segments, True), (mean, False)):
        one, other = (reader(padded([text]), read_by(body)) for text in (forth, back))
        assert torch.allclose(one, other, atol=1e-6) != differs


def test_every_weight_learns_from_every_segment(body: Encoder) -> None:
    segments = Segments(SHAPE, tokens=8, join="transformer", most=4, seed=0)
    segments(padded(TEXTS), read_by(body)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in segments.parameters())
    assert body.embedding.weight.grad is not None
    seen = {token for text in TEXTS for token in text}
    assert set(body.embedding.weight.grad.any(dim=1).nonzero()[:, 0].tolist()) == seen


def test_the_same_seed_gives_the_same_first_weights() -> None:
    first, again, other = (Segments(SHAPE, tokens=8, join="transformer", most=4, seed=seed) for seed in (3, 3, 4))
    pairs = zip(first.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)
    assert any(not torch.equal(one, two) for one, two in zip(first.parameters(), other.parameters(), strict=True))


def test_a_model_with_windows_reads_short_texts_as_before_and_long_ones_further(body: Encoder) -> None:
    longer = with_windows(body, 32).eval()
    assert (longer.shape.context, longer.shape.attention, longer.shape.attention_span) == (32, "window", 4)
    short = padded([[3, 4, 5, 6]])  # all of them within a window
    torch.testing.assert_close(longer.states(short), body.states(short))
    long = Batch(torch.arange(3, 33)[None], torch.zeros(1, 1, dtype=torch.int64))
    assert longer.states(long).shape == (1, 30, 16)
    changed = Batch(long.inputs.clone(), long.targets)
    changed.inputs[0, -1] = 40
    moved = (longer.states(long) - longer.states(changed)).abs().amax(dim=-1)[0] > 1e-6
    assert moved[-7:].all()  # two layers of windows that reach three tokens
    assert not moved[:-7].any()


def test_a_strided_model_also_sees_what_is_far_by_whole_spans(body: Encoder) -> None:
    longer = with_windows(body, 32, "strided").eval()
    assert (longer.shape.context, longer.shape.attention, longer.shape.attention_span) == (32, "strided", 4)
    short = padded([[3, 4, 5, 6]])
    torch.testing.assert_close(longer.states(short), body.states(short))
    long = Batch(torch.arange(3, 33)[None], torch.zeros(1, 1, dtype=torch.int64))
    changed = Batch(long.inputs.clone(), long.targets)
    changed.inputs[0, -1] = 40
    moved = (longer.states(long) - longer.states(changed)).abs().amax(dim=-1)[0] > 1e-6
    assert moved.all()  # in two layers: whole spans, then the window


def test_windows_are_refused_where_they_are_there_already_or_make_nothing_longer(body: Encoder) -> None:
    with pytest.raises(UserError, match="full attention"):
        with_windows(with_windows(body, 32), 64)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="longer than the model's 8 tokens"):
        with_windows(body, 8)
