"""Several seeds and folds: what each is made of, what is kept of an interrupted one, and the figures' spread."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from isoflop.adaptation import Diverged, EpochEnded, HeadOnly, Recipe, Result, Split, finetune, read_split
from isoflop.adaptation.repeats import Begun, Repeat, Summary, finetune_repeatedly, plan_repeats, stratified_folds
from isoflop.adaptation.task import Files
from isoflop.adaptation.tasks.classify import Classify
from isoflop.errors import UserError

RECIPE = Recipe(HeadOnly(), 5e-2, batch=32, epochs=1)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, write_table: Any) -> Split:
    """Train alone: 24 texts, a third of one label."""
    rows = [(f"film {at} {'lovely' if at % 3 else 'awful'}", "good" if at % 3 else "bad") for at in range(24)]
    return Classify().read(Files(write_table(tmp_path_factory.mktemp("alone") / "t.csv", rows)))


@pytest.fixture(autouse=True)
def _no_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isoflop.adaptation.tasks.classify.fit_floor", lambda split: None)


def test_folds_have_every_example_once_and_every_label_in_proportion(alone: Split) -> None:
    folds = stratified_folds(alone, 5, seed=0)
    assert sorted(at for fold in folds for at in fold) == list(range(24))
    assert {len(fold) for fold in folds} == {4, 5}
    for fold in folds:
        bad = sum(alone.train.labels[at] == "bad" for at in fold)
        assert 1 <= bad <= 2  # 8 of 24 over five folds
    assert folds == stratified_folds(alone, 5, seed=0)
    assert folds != stratified_folds(alone, 5, seed=1)


def test_a_fold_is_dev_to_the_others(alone: Split) -> None:
    plan = plan_repeats(alone, seed=7, folds=3)
    assert [one.name for one in plan] == ["fold-1", "fold-2", "fold-3"]
    assert {one.seed for one in plan} == {7}
    for one in plan:
        assert len(one.split.parts["dev"]) + len(one.split.train) == 24
        assert not set(one.split.parts["dev"].places) & set(one.split.train.places)
        assert one.split.labels == alone.labels
    both = plan_repeats(alone, seed=0, seeds=(3, 4), folds=2)
    assert [one.name for one in both] == ["seed-3-fold-1", "seed-3-fold-2", "seed-4-fold-1", "seed-4-fold-2"]
    assert [one.seed for one in both] == [3, 3, 4, 4]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"seeds": (1,)}, "--seeds needs two or more"),
        ({"seeds": (1, 1)}, "--seeds needs two or more"),
        ({"folds": 1}, "--folds must be at least 2 and at most the 24"),
        ({"folds": 25}, "--folds must be at least 2 and at most the 24"),
    ],
)
def test_repeats_that_cannot_be_are_refused(settings: Any, sentence: str, alone: Split) -> None:
    with pytest.raises(UserError, match=sentence):
        plan_repeats(alone, seed=0, **settings)


def test_folds_beside_a_dev_are_refused(tables: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="leave out --dev"):
        plan_repeats(read_split(tables["test"], dev=tables["dev"]), seed=0, folds=3)


def test_seeds_have_a_folder_each_and_their_spread_is_told(
    encoder: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    split = read_split(tables["test"], dev=tables["dev"])
    plan = plan_repeats(split, seed=0, seeds=(0, 1, 2))
    for event in finetune_repeatedly(encoder, plan, out=tmp_path, recipe=RECIPE):
        if isinstance(event, EpochEnded) and (tmp_path / "seed-1").exists():
            break  # in the midst of the second
    *events, summary = finetune_repeatedly(encoder, plan, out=tmp_path, recipe=RECIPE)
    assert isinstance(summary, Summary)
    assert [event.name for event in events if isinstance(event, Begun)] == ["seed-0", "seed-1", "seed-2"]
    assert sum(isinstance(event, EpochEnded) for event in events) == 2  # the first was done
    *_, single = finetune(encoder, split, out=tmp_path / "single", recipe=Recipe(HeadOnly(), 5e-2, 32, 1, seed=2))
    assert isinstance(single, Result)
    assert summary.repeats["seed-2"]["dev"] == dict(single.scores["dev"].figures)
    found = [one["dev"]["accuracy"] for one in summary.repeats.values()]
    assert summary.spread["dev"]["accuracy"].mean == pytest.approx(mean(found))
    assert summary.spread["dev"]["accuracy"].deviation == pytest.approx(stdev(found))
    assert json.loads((tmp_path / "summary.json").read_text())["main"] == "accuracy"


def test_folds_train_where_there_is_nothing_else_to_measure_on(encoder: Path, alone: Split, tmp_path: Path) -> None:
    *_, summary = finetune_repeatedly(encoder, plan_repeats(alone, seed=0, folds=2), out=tmp_path, recipe=RECIPE)
    assert isinstance(summary, Summary)
    assert set(summary.repeats) == {"fold-1", "fold-2"}
    assert set(summary.spread) == {"dev"}
    assert summary.floor == {}


def test_one_that_diverges_leaves_no_mean(encoder: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    split = read_split(tables["test"], dev=tables["dev"])
    recipe = Recipe(learning_rate=1e3, batch=10, epochs=1)
    *_, last = finetune_repeatedly(encoder, [Repeat("seed-0", split, 0)], out=tmp_path, recipe=recipe)
    assert isinstance(last, Diverged)
    assert not (tmp_path / "summary.json").exists()


def test_a_folder_with_a_single_fine_tuning_is_refused(encoder: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    split = read_split(tables["test"], dev=tables["dev"])
    next(finetune(encoder, split, out=tmp_path, recipe=RECIPE))
    with pytest.raises(UserError, match="holds a single fine-tuning"):
        next(finetune_repeatedly(encoder, plan_repeats(split, seed=0, seeds=(0, 1)), out=tmp_path))
