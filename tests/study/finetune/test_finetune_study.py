"""A study of fine-tunings predicts before it measures, goes on where it was stopped, leaves table, laws and page."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from isoflop.cli.app import app
from isoflop.errors import UserError
from isoflop.report import adaptation_picture, study_figure
from isoflop.report.adaptation_records import read_adaptation_study
from isoflop.runs import read_run
from isoflop.settings import read_toml
from isoflop.study.finetune import FinetuneStudyConfig, finetune_config, run_finetune_study
from isoflop.study.finetune.config import AxesConfig, TableConfig
from isoflop.study.finetune.study import Event, Measured

TIMES = ("seconds",)


def run(file: Path, out: Path, listen: Callable[[Event], None] = lambda _: None) -> dict[str, Any]:
    return run_finetune_study(finetune_config(read_toml(file, what="study file"), path=file), out, listen=listen)


def rows_of(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "cells.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finished") / "out"


@pytest.fixture
def study(finished: Path, write_study: Callable[..., Path], here: None) -> Path:
    """The folder of the study, run once to its end."""
    file = write_study()
    if not (finished / "verdict.json").exists():
        run(file, finished)
    return finished


def test_every_cell_is_a_record_and_a_row_with_its_floor(study: Path, study_folder: Path) -> None:
    rows = rows_of(study)
    assert len(rows) == 2 * 5
    for row in rows:
        record = read_run(study / "runs" / row["run"])
        assert record.role == "finetune"
        assert float(row["loss"]) == pytest.approx(float(row["test_nats"])) == pytest.approx(record.loss)
        assert float(row["error"]) == pytest.approx(1 - float(row["test_accuracy"]))
        assert 0 <= float(row["floor_error"]) <= 1
        before = read_run(study_folder / row["model"])
        assert float(row["pretraining_flops"]) == before.flops
        assert int(row["pretraining_tokens"]) == before.tokens
        assert not (study / "runs" / row["run"] / "model").exists()


def test_the_prediction_stands_before_the_largest_subset_is_trained_on(study: Path) -> None:
    verdict = json.loads((study / "verdict.json").read_text())
    assert verdict["prediction_written_at"] < verdict["target_started_at"]
    assert {(one["method"], one["model"]) for one in verdict["predicted"]} == {
        ("full", "first"),
        ("full", "second"),
    }
    # Four cells of the floor for three parameters: no interval, so no prediction.
    assert verdict["not_predicted"] == [
        "floor: 4 cells for 3 parameters are too few to tell the noise by: add seeds or sizes"
    ]
    for one in verdict["predicted"]:
        assert len(one["measured_each"]) == 1
        assert one["inside"] == (one["low"] <= one["measured"] <= one["high"])
    few = [one for one in verdict["trade"] if one["method"] == "full"]
    assert "cannot say" in few[0]["sentences"][0]


def test_a_finished_study_trains_nothing_and_says_the_same(study: Path, write_study: Callable[..., Path]) -> None:
    before = [read_run(path.parent).finished_at for path in sorted(study.glob("runs/*/run.json"))]
    verdict = json.loads((study / "verdict.json").read_text())
    again = run(write_study(), study)
    assert [read_run(path.parent).finished_at for path in sorted(study.glob("runs/*/run.json"))] == before
    assert again["predicted"] == verdict["predicted"]


def test_a_study_that_was_stopped_comes_to_the_same_table(
    study: Path, write_study: Callable[..., Path], here: None, tmp_path: Path
) -> None:
    measured: list[Event] = []

    def stop_after_three(event: Event) -> None:
        measured.extend([event] if isinstance(event, Measured) else [])
        if len(measured) == 3:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(write_study(), out, stop_after_three)
    assert len(list(out.glob("runs/*/run.json"))) == 3
    run(write_study(), out)
    alike = [[{k: v for k, v in row.items() if k not in TIMES} for row in rows_of(folder)] for folder in (out, study)]
    assert alike[0] == alike[1]


def test_another_study_or_another_table_in_its_folder_is_refused(
    study: Path, write_study: Callable[..., Path], study_folder: Path
) -> None:
    with pytest.raises(UserError, match=r"another recipe.learning_rate"):
        run(write_study(rate=1e-3), study)
    table = study_folder / "train.csv"
    text = table.read_text()
    try:
        table.write_text(text.replace("film", "movie"))
        with pytest.raises(UserError, match="other texts or models"):
            run(write_study(), study)
    finally:
        table.write_text(text)


def test_the_page_has_the_floor_the_price_and_every_cell(study: Path) -> None:
    page = (study / "report.html").read_text()
    assert "what the next point costs" in page or "the next point costs" in page
    assert "(floor " in page
    assert page.count("<td>All weights trained</td>") == 10
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', page, re.S)[1])  # type: ignore[index]
    assert set(figures) == {"labels-full"}
    own = page[: page.index('<script type="application/json"')]
    assert not re.search(r"(src|href)=.?https?:", own)


def test_the_verb_knows_the_kind(write_study: Callable[..., Path], tmp_path: Path) -> None:
    dry = CliRunner().invoke(app, ["study", str(write_study()), "--dry-run", "--out", str(tmp_path / "out")])
    assert dry.exit_code == 0
    assert "10 fine-tunings (first, second; full; 1 seed)" in dry.stdout
    assert not (tmp_path / "out" / "runs").exists()
    told = CliRunner().invoke(app, ["study", str(write_study(replace=('"finetune"', '"distil"')))])
    assert isinstance(told.exception, UserError)
    assert "kind is 'distil': choose pretrain or finetune" in str(told.exception)


def test_the_picture_is_well_formed_and_the_same_each_time(study: Path, tmp_path: Path) -> None:
    first, second = (study_figure(study, tmp_path / name).read_bytes() for name in ("a.svg", "b.svg"))
    assert first == second
    ElementTree.fromstring(first)


def test_a_long_headline_stays_in_the_picture(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptation_picture, "headline", lambda _: "a model with a name: 0.764 of all " * 4)
    figure = Figure(layout="constrained")
    adaptation_picture.draw_adaptation(figure, read_adaptation_study(study))
    figure.draw_without_rendering()
    assert figure.texts[0].get_window_extent().x1 <= figure.bbox.width


def test_the_commented_file_says_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    done = CliRunner().invoke(app, ["study", "--init", str(path), "--kind", "finetune"])
    assert done.exit_code == 0
    config = finetune_config(read_toml(path, what="study file"), path=path)
    models, files = (
        (str(tmp_path / "trained"),),
        {part: str(tmp_path / f"{part}.csv") for part in ("train", "dev", "test")},
    )
    assert config == FinetuneStudyConfig(TableConfig(**files), AxesConfig(models))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('["first", "second"]', '["first", "third"]'), "there is no such folder"),
        (("seeds = 1", "seeds = 0"), "axes.seeds must be at least 1"),
        (('["full"]', '["tail"]'), "tail"),
        (("labels = [16, 32, 64, 96, 128]", "labels = [16, 32, 64]"), "four sizes or more"),
        (("least_steps", "lest_steps"), "did you mean recipe.least_steps"),
        (("[recipe]", "[prices]\nusd_per_label = 1\n[recipe]"), "give both, or none"),
    ],
)
def test_impossible_settings_are_named(
    write_study: Callable[..., Path], here: None, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(write_study(replace=change), tmp_path / "out")


def test_where_every_cell_diverges_the_study_says_so(
    write_study: Callable[..., Path], here: None, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"every fine-tuning .* diverged: lower recipe.learning_rate"):
        run(write_study(rate=1e9), tmp_path / "out")
