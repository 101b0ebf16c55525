"""Sentence pairs: labels tell the truth about the text, both answers are as frequent, padding is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from isoflop.data import SentencePairBatches, Vocabulary
from isoflop.data.special_tokens import BERT_TOKENS, CLS, PAD, SEP
from isoflop.errors import UserError
from isoflop.models import IGNORED

SIZE, END, CONTEXT = 5000, 0, 24
VOCABULARY = Vocabulary(SIZE, END, BERT_TOKENS, starts_word=np.ones(SIZE, dtype=bool))
LENGTHS = [1, 5, 2, 300, 40, 700, 21, 22, 20, 3]
"""Of the documents, which count up: document d holds 500 d + 1, 500 d + 2, ... so that a token tells where it was."""
TEXT = np.concatenate([[*range(500 * d + 1, 500 * d + 1 + min(n, 499)), END] for d, n in enumerate(LENGTHS)]).astype(
    np.uint16
)


def pairs(question: Any, steps: int = 60) -> Iterator[tuple[list[int], list[int], int]]:
    """A, B and label, unmasked by plain Python, of every sequence; checks the frame on the way."""
    loader = SentencePairBatches(TEXT, CONTEXT, 8, 0, VOCABULARY, question)
    for step in range(steps):
        batch = loader.at(step)
        assert batch.documents is not None
        assert batch.segments is not None
        assert batch.order is not None
        for place, label in enumerate(batch.order.tolist()):
            inputs, targets = batch.inputs[place].tolist(), batch.targets[place].tolist()
            true = [inputs[i] if t == IGNORED else t for i, t in enumerate(targets)]
            first_stop = true.index(VOCABULARY.number(SEP))
            second_stop = true.index(VOCABULARY.number(SEP), first_stop + 1)
            padding = CONTEXT - second_stop - 1
            assert true[0] == VOCABULARY.number(CLS)
            assert true[second_stop + 1 :] == [VOCABULARY.number(PAD)] * padding
            assert batch.documents[place].tolist() == [1] * (second_stop + 1) + [0] * padding
            ones = second_stop - first_stop
            assert batch.segments[place].tolist() == [0] * (first_stop + 1) + [1] * ones + [0] * padding
            asked = [i for i, t in enumerate(targets) if t != IGNORED]
            assert len(asked) == max(1, round(0.15 * (second_stop - 2)))
            yield true[1:first_stop], true[first_stop + 1 : second_stop], label


def document(tokens: list[int]) -> int:
    assert tokens == list(range(tokens[0], tokens[0] + len(tokens)))
    assert END not in tokens
    return (tokens[0] - 1) // 500


def test_next_sentence_is_next_or_from_another_document() -> None:
    labels = []
    for first, second, label in pairs("next"):
        assert (document(first) != document(second)) == bool(label)
        assert label or second[0] == first[-1] + 1
        labels.append(label)
    assert binomtest(sum(labels), len(labels), 0.5).pvalue > 1e-4


def test_sentence_order_is_right_or_swapped() -> None:
    labels = []
    for first, second, label in pairs("order"):
        assert document(first) == document(second)
        assert (second[0] == first[-1] + 1) if not label else (first[0] == second[-1] + 1)
        labels.append(label)
    assert binomtest(sum(labels), len(labels), 0.5).pvalue > 1e-4


def test_long_documents_fill_the_context_and_short_ones_are_taken_whole() -> None:
    lengths = {0: set[int]()}
    for first, second, _ in pairs("order"):
        lengths.setdefault(document(sorted(first + second)), set()).add(len(first) + len(second))
    assert {d: sizes for d, sizes in lengths.items() if sizes} == {
        d: {min(n, CONTEXT - 3)} for d, n in enumerate(LENGTHS) if lengths.get(d)
    }
    assert {3, 4, 5, 6, 7} <= set(lengths)
    assert 0 not in {d for d, sizes in lengths.items() if sizes}


def test_text_without_enough_documents_is_refused() -> None:
    one = np.arange(1, 400, dtype=np.uint16)
    SentencePairBatches(one, CONTEXT, 4, 0, VOCABULARY, "order").at(0)
    with pytest.raises(UserError, match="1 documents of two tokens or more"):
        SentencePairBatches(one, CONTEXT, 4, 0, VOCABULARY, "next")
    with pytest.raises(UserError, match="too little for a batch"):
        SentencePairBatches(TEXT[:50], CONTEXT, 4, 0, VOCABULARY, "order")
    with pytest.raises(UserError, match="at least 5 tokens"):
        SentencePairBatches(TEXT, 4, 4, 0, VOCABULARY)
