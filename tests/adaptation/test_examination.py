"""A saved model scores on a table as it did when it was trained, with intervals, and is compared example by example."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from isoflop.adaptation import Recipe, Result, finetune, load_classifier, read_split
from isoflop.adaptation.calibrated import evaluate_calibration, keep
from isoflop.adaptation.examination import evaluate_task, is_adapted, write_predictions
from isoflop.errors import UserError
from isoflop.evaluation.intervals import Resampling, paired_test

QUICK = Resampling(draws=300)


def rows_of(path: Path) -> list[list[str]]:
    """The rows of a CSV file behind its header."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, encoder: Path, tables: dict[str, Path]) -> dict[str, Path]:
    """Folders of a fine-tuned model that learned something and of one that hardly did."""
    folder = tmp_path_factory.mktemp("trained")
    split = read_split(tables["train"], dev=tables["dev"], test=tables["test"])
    for name, rate in (("good", 3e-3), ("poor", 1e-6)):
        for _ in finetune(encoder, split, out=folder / name, recipe=Recipe(learning_rate=rate, epochs=2)):
            pass
    return {name: folder / name for name in ("good", "poor")}


def test_figures_are_those_of_the_training_with_intervals(trained: dict[str, Path], tables: dict[str, Path]) -> None:
    from isoflop.adaptation import read_result

    assert is_adapted(trained["good"])
    found, _ = evaluate_task(trained["good"], tables["test"], resampling=QUICK)
    result = read_result(trained["good"])
    assert isinstance(result, Result)
    for name, value in result.scores["test"].figures.items():
        assert found[name].of[0].value == pytest.approx(value, abs=1e-6)
    assert found["accuracy"].examples == 100


def test_two_models_are_compared_text_by_text(trained: dict[str, Path], tables: dict[str, Path]) -> None:
    found, _ = evaluate_task(trained["good"], tables["test"], against=trained["poor"], resampling=QUICK)
    rows = rows_of(tables["test"])
    right = [
        [guess.label == label for guess, (_, label) in zip(model.predict([row[0] for row in rows]), rows, strict=True)]
        for model in (load_classifier(trained[name]) for name in ("good", "poor"))
    ]
    expected = paired_test(right[0], right[1], resampling=QUICK)
    assert found["accuracy"].comparison == expected
    assert found["F1 macro"].comparison is not None
    assert found["F1 macro"].comparison.difference.value > 0


def test_predictions_are_written_in_the_tables_order(
    trained: dict[str, Path], tables: dict[str, Path], tmp_path: Path
) -> None:
    _, (measured,) = evaluate_task(trained["good"], tables["test"], resampling=QUICK)
    write_predictions(measured, tmp_path / "predictions.csv")
    written = rows_of(tmp_path / "predictions.csv")
    assert [row[0] for row in written] == [row[1] for row in rows_of(tables["test"])]


def test_a_label_that_the_model_does_not_know_is_told_with_its_line(
    trained: dict[str, Path], write_table: Callable[..., Path], tmp_path: Path
) -> None:
    table = write_table(tmp_path / "table.csv", [("a film", "good"), ("a story", "middling")])
    with pytest.raises(UserError, match=r"line 3.*middling.*none of the model's"):
        evaluate_task(trained["good"], table)


def test_columns_are_named_as_in_finetune(
    trained: dict[str, Path], write_table: Callable[..., Path], tmp_path: Path
) -> None:
    table = write_table(tmp_path / "table.csv", [("a film", "good"), ("dull", "bad")] * 5, ("words", "mood"))
    found, _ = evaluate_task(trained["good"], table, settings={"text": "words", "label": "mood"}, resampling=QUICK)
    assert found["accuracy"].examples == 10
    with pytest.raises(UserError, match="no setting 'colour'"):
        evaluate_task(trained["good"], table, settings={"colour": "red"})


def test_a_temperature_is_fitted_on_one_table_and_measured_on_another(
    trained: dict[str, Path], tables: dict[str, Path]
) -> None:
    found = evaluate_calibration(trained["poor"], tables["test"], dev=tables["dev"], resampling=QUICK)
    assert found.temperature > 0
    assert [one.name for one in found.evaluated.figures] == ["ECE", "nats"]
    assert sum(one.examples for one in found.before) == sum(one.examples for one in found.after) == 100
    same = evaluate_calibration(trained["poor"], tables["dev"], dev=tables["dev"], resampling=QUICK).evaluated["nats"]
    assert same.of[1].value <= same.of[0].value


def test_a_temperature_that_is_kept_is_used_from_then_on(
    trained: dict[str, Path], tables: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    shutil.copytree(trained["good"], folder)
    before = evaluate_task(folder, tables["test"], resampling=QUICK)[0]
    found = evaluate_calibration(folder, tables["test"], dev=tables["dev"], resampling=QUICK)
    assert keep(folder, found) == folder / "model" / "temperature.json"
    texts = [row[0] for row in rows_of(tables["test"])]
    plain, scaled = (load_classifier(one).probabilities(texts) for one in (trained["good"], folder))
    expected = plain ** (1 / found.temperature)
    np.testing.assert_allclose(scaled, expected / expected.sum(axis=1, keepdims=True), atol=1e-9)
    assert [one.label for one in load_classifier(folder).predict(texts)] == [
        one.label for one in load_classifier(trained["good"]).predict(texts)
    ]
    after = evaluate_task(folder, tables["test"], resampling=QUICK)[0]
    assert after["nats"].of[0].value == pytest.approx(found.evaluated["nats"].of[1].value)
    assert before["nats"].of[0].value == pytest.approx(found.evaluated["nats"].of[0].value)
    again = evaluate_calibration(folder, tables["test"], dev=tables["dev"], resampling=QUICK)
    assert again == found  # what is kept does not count twice
    (folder / "model" / "temperature.json").write_text('{"temperature": "hot"}')
    with pytest.raises(UserError, match=r"temperature.json is damaged: delete it"):
        load_classifier(folder)
