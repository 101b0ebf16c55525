"""Span corruption: source and targets together are the text, the share and the mean length are as asked."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from isoflop.data import SpanBatches, SpanCorruption, Vocabulary
from isoflop.data.special_tokens import PAD, sentinels
from isoflop.errors import UserError

SIZE, END = 400, 0
LENGTHS = [2, 3, 7, 20, 100, 119, 512]


def vocabulary(spans: int) -> Vocabulary:
    return Vocabulary(SIZE, END, (PAD, *sentinels(spans)), starts_word=np.zeros(SIZE, dtype=bool))


def mended(source: list[int], targets: list[int]) -> list[int]:
    """The text again, by plain Python: each sentinel of the source replaced by what follows it in the targets."""
    assert source.pop() == targets.pop() == END
    spans: dict[int, list[int]] = {}
    for token in targets:
        if token > SIZE:
            spans[token] = mark = []
        else:
            mark.append(token)
    assert list(spans) == sorted(spans)
    assert all(spans.values())
    text = []
    for token in source:
        text += spans.pop(token) if token > SIZE else [token]
    assert not spans
    return text


@pytest.mark.parametrize("length", LENGTHS)
def test_what_was_cut_out_and_what_was_kept_are_the_text(length: int) -> None:
    corruption, draw = SpanCorruption(), np.random.default_rng(0)
    noise, spans = corruption.sizes(length)
    for _ in range(50):
        row = draw.integers(1, SIZE, length)
        source, targets = corruption.apply(row, vocabulary(spans), draw)
        assert len(source) == corruption.source_length(length)
        assert len(targets) == noise + spans + 1
        assert mended(source.tolist(), targets.tolist()) == row.tolist()


@pytest.mark.parametrize("length", LENGTHS)
def test_spans_never_touch_and_have_the_share_and_mean_length_that_were_asked(length: int) -> None:
    draw = np.random.default_rng(0)
    noise, count = SpanCorruption().sizes(length)
    assert noise == max(1, round(0.15 * length))
    assert count == max(1, round(noise / 3))
    for _ in range(50):
        spans = SpanCorruption().spans(length, draw)
        assert len(spans) == count
        assert sum(stop - start for start, stop in spans) == noise
        assert all(stop < start for (_, stop), (start, _) in itertools.pairwise(spans))
        assert spans[0][0] >= 0
        assert spans[-1][1] <= length


def test_every_way_to_lay_the_spans_is_as_likely_as_any_other() -> None:
    draw = np.random.default_rng(0)
    found = Counter(tuple(SpanCorruption(density=0.4, mean_length=2).spans(10, draw)) for _ in range(21000))
    # 4 tokens in 2 spans: 3 ways; 6 kept in 3 gaps, the outer ones possibly empty: C(7, 2) = 21 ways
    assert len(found) == 63
    chi2 = sum((n - 21000 / 63) ** 2 / (21000 / 63) for n in found.values())
    assert chi2 < 62 + 4 * (2 * 62) ** 0.5


@pytest.mark.parametrize("context", [4, 5, 16, 33, 512])
def test_the_source_fills_the_context_as_far_as_it_can(context: int) -> None:
    corruption = SpanCorruption()
    length = corruption.text_length(context)
    assert corruption.source_length(length) <= context < corruption.source_length(length + 1)


def test_the_decoder_reads_its_targets_one_later() -> None:
    length = SpanCorruption().text_length(40)
    spans = SpanCorruption().sizes(length)[1]
    batch = SpanBatches(np.arange(1, 399, dtype=np.uint16), 40, 3, 0, vocabulary(spans)).at(1)
    assert (batch.inputs[:, 1:] == batch.targets[:, :-1]).all()
    assert (batch.inputs[:, 0] == SIZE).all()
    assert batch.source is not None
    for source, targets in zip(batch.source.tolist(), batch.targets.tolist(), strict=True):
        text = mended(source, targets)
        assert text == list(range(text[0], text[0] + length))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="context of at least 3"):
        SpanCorruption().text_length(2)
    with pytest.raises(UserError, match="between 0 and 1"):
        SpanCorruption(density=1.0)
    with pytest.raises(UserError, match="one token long"):
        SpanCorruption(mean_length=0.5)
