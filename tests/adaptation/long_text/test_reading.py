"""What is read of a long text: which tokens, with the special ones around every piece, and what is said of the rest."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from isoflop.adaptation.long_text import Reading
from isoflop.errors import UserError

START, END = 0, 1
LONG = " ".join(f"w{n}" for n in range(2, 32))
"""Thirty words, of which word n is token n."""


@pytest.fixture
def tokenizer() -> Tokenizer:
    words = {"<s>": START, "</s>": END, **{f"w{n}": n for n in range(2, 40)}}
    made = Tokenizer(WordLevel(words, unk_token="<s>"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", START), ("</s>", END)])
    return made


@pytest.mark.parametrize(
    ("way", "words"),
    [("head", range(2, 12)), ("tail", range(22, 32)), ("both", [2, 3, *range(24, 32)])],
)
def test_one_end_or_both_are_read(tokenizer: Tokenizer, way: str, words: list[int]) -> None:
    found = Reading(12, way).tokens(tokenizer, [LONG, "w5 w6"])
    assert [list(one) for one in found.sequences] == [[START, *words, END], [START, 5, 6, END]]
    assert found.cut == 1


def test_a_text_that_just_fits_is_read_whole_by_every_way(tokenizer: Tokenizer) -> None:
    text = " ".join(f"w{n}" for n in range(2, 12))
    for way in ("head", "tail", "both", "segments", "hierarchical", "window", "strided"):
        found = Reading(12, way).tokens(tokenizer, [text])
        assert [list(one) for one in found.sequences] == [[START, *range(2, 12), END]]
        assert found.cut == 0


def test_segments_cover_the_text_and_overlap_by_an_eighth(tokenizer: Tokenizer) -> None:
    (sequence,) = Reading(10, "segments").tokens(tokenizer, [LONG]).sequences
    pieces = [tuple(map(int, sequence))[at : at + 10] for at in range(0, len(sequence), 10)]
    assert pieces[0] == (START, *range(2, 10), END)
    assert pieces[1] == (START, *range(9, 17), END)
    assert pieces[-1] == (START, *range(30, 32), END)
    assert {word for piece in pieces for word in piece[1:-1]} == set(range(2, 32))


def test_of_too_many_segments_some_at_even_distances_are_read_and_that_is_said(tokenizer: Tokenizer) -> None:
    reading = Reading(10, "segments", most=3)
    tokens = reading.tokens(tokenizer, [LONG, "w2"])
    assert list(tokens.sequences[0][1::10]) == [2, 16, 30]
    assert reading.notes({"dev": tokens}) == (
        "1 of the 2 texts of dev have more than 3 segments: so many were read, evenly spaced.",
    )


def test_what_is_cut_off_is_said(tokenizer: Tokenizer) -> None:
    for way, lost in (("head", "ends"), ("tail", "beginnings"), ("both", "middles")):
        reading = Reading(12, way)
        assert reading.notes({"test": reading.tokens(tokenizer, [LONG])}) == (
            f"1 of the 1 texts of test are longer than 12 tokens: their {lost} were cut.",
        )


def test_a_text_without_a_token_is_refused_by_every_way(tokenizer: Tokenizer) -> None:
    for way in ("head", "tail", "segments"):
        with pytest.raises(UserError, match="has no token"):
            Reading(12, way).tokens(tokenizer, [""])


def test_a_way_that_is_not_known_is_refused() -> None:
    with pytest.raises(UserError, match="--long is 'middle': choose head, tail"):
        Reading(12, "middle")
    with pytest.raises(UserError, match="join is 'sum': choose mean or max"):
        Reading(12, "segments", join="sum")
    with pytest.raises(UserError, match="most is 1"):
        Reading(12, "segments", most=1)
