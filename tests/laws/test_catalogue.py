"""Every entry of the catalogue keeps one contract, and finding one is kind to typing mistakes."""

from __future__ import annotations

import math
import re

import pytest

from isoflop.errors import UserError
from isoflop.laws.catalogue import ENTRIES, Entry, PublishedSet, find
from laws.formula_by_hand import names

SYMBOLS = {"N", "D", "C", "U", "x"}
ASKED_FOR = [
    "effective_dimension",
    "chinchilla",
    "kaplan",
    "power",
    "data_constrained",
    "m1",
    "m2",
    "m3",
    "m4",
    "bnsl1",
    "bnsl2",
    "bnsl3",
]

every_entry = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES.keys())
every_set = pytest.mark.parametrize(
    ("entry", "published"),
    [pytest.param(entry, published, id=f"{entry.key}:{published.source}")
     for entry in ENTRIES.values() for published in entry.sets],
)  # fmt: skip


@pytest.mark.parametrize("key", ASKED_FOR)
def test_has_the_keys_that_scripts_rely_on(key: str) -> None:
    assert find(key).key == key


@every_entry
def test_describes_exactly_the_names_of_its_formula(entry: Entry) -> None:
    parameters = [parameter.name for parameter in entry.parameters]
    assert names(entry.formula) == {*parameters, *entry.columns}
    assert len({*parameters, *entry.columns}) == len(parameters) + len(entry.columns)
    for symbol in (entry.target, *entry.variables, *entry.parameters):
        assert symbol.meaning
        assert symbol.unit


@every_entry
def test_reads_symbols_or_columns_in_full_words(entry: Entry) -> None:
    for column in entry.columns:
        assert column in SYMBOLS or re.fullmatch(r"[a-z][a-z_]+", column)


@every_entry
def test_ranges_are_ordered(entry: Entry) -> None:
    for low, high in entry.ranges.values():
        assert low < high
        assert math.isfinite(low)


@every_entry
def test_says_where_it_comes_from(entry: Entry) -> None:
    assert entry.domain
    assert entry.where
    assert entry.verified
    for paper in entry.papers:
        assert str(paper.year) in paper.citation
        assert f"year          = {{{paper.year}}}" in paper.bibtex
        assert paper.key.endswith(str(paper.year))
        assert paper.arxiv or paper.url
        if paper.arxiv:
            assert 2000 + int(paper.arxiv[:2]) == paper.year


@every_set
def test_published_sets_give_every_parameter_within_its_range(entry: Entry, published: PublishedSet) -> None:
    assert published.values.keys() == entry.ranges.keys()
    for name, value in published.values.items():
        low, high = entry.ranges[name]
        assert low <= value <= high, name


@every_set
def test_published_sets_say_where_they_are_printed(entry: Entry, published: PublishedSet) -> None:
    assert published.where
    assert published.verified
    assert published.source.startswith(published.paper.key)
    assert entry.published(published.source) is published


def test_sources_are_named_once_per_law() -> None:
    for entry in ENTRIES.values():
        sources = [published.source for published in entry.sets]
        assert len(set(sources)) == len(sources)


def test_an_unknown_key_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean chinchilla"):
        find("chincila")
    with pytest.raises(UserError, match="isoflop laws ls"):
        find("zzz")


def test_an_unknown_set_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError, match="chinchilla:besiroglu2024"):
        find("chinchilla").published("epoch")
    with pytest.raises(UserError, match="has none"):
        find("m1").published("paper")
