"""Subsets lie one in the other and have each label's share."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from adaptation.conftest import write_rows
from isoflop.adaptation import read_split
from isoflop.errors import UserError
from isoflop.study.finetune.config import AxesConfig
from isoflop.study.finetune.subsets import nested_order, sizes_of, subset_of

LABELS = ["rare"] * 7 + ["some"] * 40 + ["many"] * 153


@pytest.mark.parametrize("seed", range(5))
def test_every_prefix_has_each_label_s_share_to_within_one_text(seed: int) -> None:
    order = nested_order(LABELS, seed=seed)
    assert sorted(order) == list(range(len(LABELS)))
    whole = Counter(LABELS)
    for size in range(1, len(LABELS) + 1):
        found = Counter(LABELS[place] for place in order[:size])
        assert all(abs(found[label] - size * many / len(LABELS)) <= 1 for label, many in whole.items()), size


def test_seeds_draw_other_texts_of_the_same_labels() -> None:
    one, other = (nested_order(LABELS, seed=seed)[:60] for seed in (0, 1))
    assert set(one) != set(other)
    assert [LABELS[place] for place in one] == [LABELS[place] for place in other]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    rows = [(f'text {number}, with "quotes"', label) for number, label in enumerate(LABELS)]
    write_rows(tmp_path / "test.csv", [("any", "many"), ("thing", "rare")], ("sentence", "class"))
    return write_rows(tmp_path / "train.csv", rows, ("sentence", "class"))


def test_a_subset_is_the_same_task_with_fewer_texts_and_another_hash(tables: Path) -> None:
    split = read_split(tables, test=tables.parent / "test.csv")
    small, large = (subset_of(split, size=size, seed=3) for size in (40, 80))
    assert large.train.texts[:40] == small.train.texts
    assert set(large.train.texts) < set(split.train.texts)
    assert small.parts["test"] == split.parts["test"]
    assert small.labels == split.labels
    assert len({split.hash, small.hash, large.hash}) == 3


def test_sizes_are_halves_of_the_whole_unless_they_are_given(tables: Path) -> None:
    split = read_split(tables, test=tables.parent / "test.csv")
    assert sizes_of(AxesConfig(("m",), sizes=4), split) == (25, 50, 100, 200)
    assert sizes_of(AxesConfig(("m",), labels=(200, 30, 60, 90)), split) == (30, 60, 90, 200)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (AxesConfig(("m",), labels=(4, 30, 60, 90)), r"would not have every label \('rare' is the rarest\)"),
        (AxesConfig(("m",), labels=(30, 60, 90, 201)), "asks for 201 texts"),
    ],
)
def test_impossible_sizes_are_refused(tables: Path, axes: AxesConfig, message: str) -> None:
    split = read_split(tables, test=tables.parent / "test.csv")
    with pytest.raises(UserError, match=message):
        sizes_of(axes, split)
