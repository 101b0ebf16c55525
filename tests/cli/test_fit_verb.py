"""`isoflop fit`: a summary for people, one JSON object for scripts, a file for the planner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import isoflop as iso
from isoflop.cli.app import app
from isoflop.errors import UserError


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["fit", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def epoch(data_dir: Path) -> Path:
    return data_dir / "runs" / "epoch_chinchilla.csv"


def test_the_json_object_has_what_scripts_rely_on(epoch: Path) -> None:
    record = json.loads(run(epoch, "--law", "chinchilla", "--where", "split=fit240", "--bootstrap", 200, "--json"))
    assert list(record) == [
        "status",
        "law",
        "formula",
        "objective",
        "parameters",
        "derived",
        "n_runs",
        "dropped",
        "certificate",
    ]
    assert record["objective"] == pytest.approx(0.0010182740178006, rel=1e-11)
    assert record["law"] == "chinchilla"
    assert record["n_runs"] == 240
    assert record["dropped"] == 0
    assert record["status"][0]["code"] == "converged"
    assert (
        record["parameters"]["beta"]["low"]
        < record["parameters"]["beta"]["value"]
        < record["parameters"]["beta"]["high"]
    )
    assert record["derived"]["a"]["value"] == pytest.approx(0.5139, abs=1e-4)


def test_the_summary_names_the_five_runs_and_the_file_holds_the_fit(epoch: Path, tmp_path: Path) -> None:
    text = run(epoch, "--bootstrap", 200, "--out", tmp_path / "fit.json")
    assert "5 of 245 runs decide the fit" in text
    fit = iso.Fit.from_json((tmp_path / "fit.json").read_text())
    assert fit.n_runs == 245
    assert len(fit.draws) == 200


def test_a_formula_of_one_s_own_and_a_mapping_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rows = "".join(f"{10.0**k},{2 + 100 / 10 ** (0.3 * k)}\n" for k in range(3, 15))
    path.write_text("size,ce\n" + rows)
    record = json.loads(run(path, "--law", "E + A / N**p", "--map", "N=size,L=ce", "--bootstrap", 50, "--json"))
    assert record["formula"] == "E + A / N**p"
    assert record["parameters"]["p"]["value"] == pytest.approx(0.3, rel=1e-6)


def test_no_draws_give_no_intervals_but_still_json(epoch: Path) -> None:
    record = json.loads(run(epoch, "--bootstrap", 0, "--json"))
    assert record["parameters"]["E"]["low"] is None


def test_held_out_runs_are_predicted(epoch: Path) -> None:
    record = json.loads(run(epoch, "--where", "split=fit240", "--holdout", "largest:0.2", "--bootstrap", 200, "--json"))
    assert record["holdout"]["n_runs"] == 48
    assert record["n_runs"] == 192
    assert record["holdout"]["error"] < 0.02
    assert "48 largest runs" in run(epoch, "--where", "split=fit240", "--holdout", "largest:0.2", "--bootstrap", 200)


@pytest.mark.parametrize(
    "arguments", [("--law", "E + A / N^p"), ("--law", "nothing"), ("--holdout", "largest:3"), ("--where", "split=none")]
)
def test_a_mistake_is_a_sentence(epoch: Path, arguments: tuple[str, str]) -> None:
    with pytest.raises(UserError):
        run(epoch, *arguments)


def written(path: Path, **changed: str) -> Path:
    """A good table of 20 runs, but for `row_column="text"`."""
    lines = ["params,tokens,loss"]
    for row in range(20):
        n = 1e7 * 10 ** (row // 4 / 2)
        d = n * 5 * 2 ** (row % 4)
        cells = {"params": n, "tokens": d, "loss": 1.8 + 480 / n**0.35 + 2100 / d**0.37}
        lines.append(",".join(changed.get(f"{name}_{row}", f"{value:.9g}") for name, value in cells.items()))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("cell", ["NaN", "0", "-2", "inf", "1e308", ""])
def test_a_row_that_can_not_be_used_is_counted_said_and_speaks_against_the_fit(cell: str, tmp_path: Path) -> None:
    table = written(tmp_path / "runs.csv", loss_3=cell)
    record = json.loads(run(table, "--bootstrap", 0, "--json"))
    assert (record["n_runs"], record["dropped"]) == (19, 1)
    (said,) = [one["message"] for one in record["status"] if one["code"] == "table"]
    assert said.startswith("Dropped 1 of 20 rows: loss ")
    assert "data row 4" in said
    assert "read 1 remark first" in run(table, "--bootstrap", 0)


def test_tokens_in_billions_speak_against_the_fit(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    rows = [(1e7 * 2**i, 0.2 * 2**i * 3**j) for i in range(5) for j in range(4)]
    lines = [f"{n:g},{d:g},{1.8 + 480 / n**0.35 + 1 / d**0.37:.6f}" for n, d in rows]
    table.write_text("params,tokens,loss\n" + "\n".join(lines) + "\n")
    record = json.loads(run(table, "--bootstrap", 0, "--json"))
    assert ["tokens" in one["message"] for one in record["status"] if one["code"] == "table"] == [True]
    assert "may be believed" not in run(table, "--bootstrap", 0)
