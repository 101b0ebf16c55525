"""The floor: it learns what words say, also where there are no spaces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isoflop.adaptation import fit_floor, read_split

pytest.importorskip("sklearn")

CHINESE = [("这部电影很好看", "1"), ("剧情太差了", "0"), ("演员好", "1"), ("差得看不下去", "0")] * 5


def test_chinese_is_counted_by_characters(tmp_path: Path, write_table: Callable[..., Path]) -> None:
    train = write_table(tmp_path / "train.csv", CHINESE)
    test = write_table(tmp_path / "test.csv", [("真好", "1"), ("真差", "0")])
    floor = fit_floor(read_split(train, test=test))
    assert floor is not None
    assert "characters" in floor.description
    assert floor.scores["test"].accuracy == 1.0


def test_words_and_pairs_of_words_are_counted_elsewhere(tables: dict[str, Path]) -> None:
    floor = fit_floor(read_split(tables["train"], dev=tables["dev"], test=tables["test"]))
    assert floor is not None
    assert floor.description == "TF-IDF of 1 and 2 words + logistic regression, C = 10"
    assert set(floor.scores) == {"dev", "test"}


@pytest.mark.data
def test_the_floor_of_sst2_is_the_known_one(data_dir: Path) -> None:
    folder = data_dir / "text" / "sst2"
    floor = fit_floor(read_split(folder / "train.csv", dev=folder / "dev.csv", test=folder / "test.csv"))
    assert floor is not None
    assert floor.scores["test"].accuracy == pytest.approx(0.814, abs=0.002)


def test_of_very_many_texts_some_are_counted_and_every_label_is_among_them(
    tmp_path: Path, write_table: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("good film", "1"), ("bad film", "0")] * 20
    rows[7] = ("a rare opinion", "2")
    split = read_split(
        write_table(tmp_path / "train.csv", rows),
        test=write_table(tmp_path / "test.csv", [("good", "1"), ("bad", "0"), ("rare opinion", "2")]),
    )
    monkeypatch.setattr("isoflop.adaptation.floor.MOST_TEXTS", 9)
    floor = fit_floor(split)
    assert floor is not None
    assert floor.description.endswith("C = 10, of 9 texts of train at even distances")
    assert floor.scores["test"].accuracy == 1.0
