"""Masking: the right share, 80/10/10, whole words where asked, and inputs that know nothing of what is hidden."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from isoflop.data import Masking, Vocabulary
from isoflop.data.masking import MaskedBatches, words_of
from isoflop.data.special_tokens import BERT_TOKENS, CLS, MASK, SEP
from isoflop.errors import UserError
from isoflop.models import IGNORED

SIZE, END = 50, 7
VOCABULARY = Vocabulary(SIZE, END, BERT_TOKENS, starts_word=np.arange(SIZE) % 3 == 0)
"""Every third token begins a word."""


def rows(count: int, length: int, *, seed: int = 0) -> np.ndarray:
    tokens = np.random.default_rng(seed).integers(0, SIZE, (count, length))
    tokens[:, 0], tokens[:, -1] = VOCABULARY.number(CLS), VOCABULARY.number(SEP)
    return tokens


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_each_sequence_has_exactly_its_share_and_no_mark_is_ever_chosen() -> None:
    given = rows(400, 102)
    _, targets = Masking().apply(given, VOCABULARY, draw())
    chosen = targets != IGNORED
    text = (given < SIZE) & (given != END)
    assert (chosen.sum(axis=1) == np.maximum(1, np.rint(0.15 * text.sum(axis=1)))).all()
    assert not (chosen & ~text).any()
    assert (targets[chosen] == given[chosen]).all()


def test_of_the_chosen_eight_in_ten_are_hidden_one_swapped_one_kept() -> None:
    given = rows(2000, 102)
    inputs, targets = Masking().apply(given, VOCABULARY, draw())
    chosen = targets != IGNORED
    n, hidden = int(chosen.sum()), int((inputs[chosen] == VOCABULARY.number(MASK)).sum())
    kept = int((inputs[chosen] == given[chosen]).sum())
    one_in = 1 / (SIZE - 1)  # a swapped token may be the same by chance
    assert binomtest(hidden, n, 0.8).pvalue > 1e-4
    assert binomtest(kept, n, 0.1 + 0.1 * one_in).pvalue > 1e-4
    assert (inputs[~chosen] == given[~chosen]).all()
    swapped = inputs[chosen & (inputs != VOCABULARY.number(MASK)) & (inputs != given)]
    assert set(swapped.tolist()) == set(range(SIZE)) - {END}


def test_every_place_is_as_likely_as_any_other() -> None:
    given = np.tile(np.arange(8, 28), (4000, 1))
    _, targets = Masking().apply(given, VOCABULARY, draw())
    counts = (targets != IGNORED).sum(axis=0)
    assert counts.sum() == 4000 * 3
    assert all(binomtest(int(count), 4000, 0.15).pvalue > 1e-4 for count in counts)


def test_the_true_token_of_a_hidden_place_changes_nothing_but_its_target() -> None:
    given = rows(20, 60)
    inputs, targets = Masking().apply(given, VOCABULARY, draw())
    hidden = inputs == VOCABULARY.number(MASK)
    other = np.where(hidden, (given + 1) % SIZE, given)
    other = np.where(hidden & (other == END), END + 1, other)
    inputs_again, targets_again = Masking().apply(other, VOCABULARY, draw())
    assert (inputs_again == inputs).all()
    assert (targets_again[hidden] == other[hidden]).all()
    assert (targets_again[~hidden] == targets[~hidden]).all()


def test_whole_words_are_chosen_whole_and_never_beyond_the_share() -> None:
    given = rows(300, 102)
    _, targets = Masking(whole_words=True).apply(given, VOCABULARY, draw())
    shares = []
    for row, chosen in zip(given, targets != IGNORED, strict=True):
        text = (row < SIZE) & (row != END)
        words = words_of(row, text, VOCABULARY)
        assert all(chosen[words == word].all() for word in set(words[chosen]))
        allowed = max(1, round(0.15 * text.sum()))
        assert chosen.sum() <= max(allowed, np.bincount(words)[1:].min())
        shares.append(chosen.sum() / text.sum())
    assert np.mean(shares) == pytest.approx(0.15, abs=0.005)


def test_words_go_from_one_white_space_to_the_next_and_end_at_marks() -> None:
    row = np.array([VOCABULARY.number(CLS), 1, 2, 3, 4, END, 5, 6, VOCABULARY.number(SEP), 8])
    text = (row < SIZE) & (row != END)
    assert words_of(row, text, VOCABULARY).tolist() == [0, 1, 1, 2, 2, 0, 3, 4, 0, 5]


def test_a_word_that_is_longer_than_the_share_is_masked_where_there_is_no_other() -> None:
    _, targets = Masking(whole_words=True).apply(np.array([[3, 1, 1, 1, 1]]), VOCABULARY, draw())
    assert targets.tolist() == [[3, 1, 1, 1, 1]]


def test_masked_text_stands_between_its_marks() -> None:
    loader = MaskedBatches(np.arange(8, 48, dtype=np.uint16), 10, 2, 0, VOCABULARY)
    batch = loader.at(0)
    assert set(batch.inputs[:, 0].tolist()) == {VOCABULARY.number(CLS)}
    assert set(batch.inputs[:, -1].tolist()) == {VOCABULARY.number(SEP)}
    assert ((batch.targets != IGNORED).sum(dim=1) == 1).all()


def test_packed_text_is_masked_document_by_document() -> None:
    tokens = np.tile(np.array([9, 10, END, 11], dtype=np.uint16), 20)
    batch = MaskedBatches(tokens, 10, 2, 0, VOCABULARY, packed=True).at(0)
    assert batch.documents is not None
    assert batch.documents.tolist() == [[1, 1, 1, 2, 2, 2, 2, 3, 3, 3]] * 2


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_share_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(UserError, match="share"):
        Masking(rate=rate)
