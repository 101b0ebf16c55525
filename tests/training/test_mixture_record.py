"""A run on a mixture says in its record what it saw of each part, and what it read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.data import MixturePart
from isoflop.runs import Run
from isoflop.shapes import ModelShape
from isoflop.training.plan import DataSettings, Plan, TrainSettings
from isoflop.training.pretraining import pretrain


def test_tokens_unique_tokens_and_epochs_of_each_part_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, count in (("large", 400), ("small", 12)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.txt").write_text(f"{name} {number} " + "some words to read " * 20)
    parts = tuple(MixturePart(weight, (str(tmp_path / name),)) for name, weight in (("large", 0.75), ("small", 0.25)))
    shape = ModelShape(layers=1, width=16, heads=1, ffn=44, vocab=300, context=16, norm="plain")
    train = TrainSettings(tokens=16 * 64 * 10, batch_tokens=16 * 64, learning_rate=0.5, evaluations=1, valid_tokens=512)
    plan = Plan(shape, train, data=DataSettings(mixture=parts, valid_percent=20))
    run = list(pretrain(plan, tmp_path / "out"))[-1]
    assert isinstance(run, Run)
    large, small = run.config["mixture"]
    assert (large["tokens"], small["tokens"]) == (7680, 2560)
    assert large["unique"] == 7680
    assert small["epochs"] == pytest.approx(2560 / small["unique"])
    assert small["epochs"] > 1
    assert run.unique_tokens == 7680 + small["unique"]
    assert "were read again" in run.note
    assert str(tmp_path / "small") in run.note
    assert str(tmp_path / "large") not in run.note
