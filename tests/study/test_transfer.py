"""A transfer sweep finds each size's best rate, says how far it moved, and goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from isoflop.errors import UserError
from isoflop.study.pictures import loss_limits, transfer_figure
from isoflop.study.transfer import Line, Transfer, TransferConfig, read_transfer


def line(name: str, width: int, layers: int, best: float) -> Line:
    losses = {best / 2: 3.1, best: 3.0, best * 2: 3.2, best * 4: None}
    return Line(name, width, layers, losses, best, bracketed=True)


CONFIG = TransferConfig(parametrizations=("sp", "u-mup"), widths=(16, 32), depth=2, depths=(2, 8), width=16)
FOUND = Transfer(
    CONFIG,
    (
        *(line("sp", 16, 2, 0.08), line("sp", 32, 2, 0.02), line("sp", 16, 8, 0.08)),
        *(line("u-mup", 16, 2, 1.0), line("u-mup", 32, 2, 0.9), line("u-mup", 16, 8, 0.6)),
    ),
)


def test_the_move_is_counted_in_factors_of_two() -> None:
    assert FOUND.move("sp", by="width") == pytest.approx(2.0)
    assert FOUND.move("sp", by="depth") == 0.0
    assert FOUND.move("u-mup", by="depth") == pytest.approx(0.737, abs=1e-3)
    assert not FOUND.verdict("sp")
    assert FOUND.verdict("u-mup")


@pytest.mark.parametrize("by", ["width", "depth"])
def test_the_best_of_every_panel_is_in_the_picture(by: str) -> None:
    low, high = loss_limits(FOUND, by)
    best = [line.loss for name in FOUND.config.parametrizations for line in FOUND.of(name, by=by)]
    assert low < min(best) <= max(best) < high


def test_the_figure_has_a_panel_for_each_parametrisation_and_direction(tmp_path: Path) -> None:
    drawn = transfer_figure(FOUND, tmp_path / "a.svg").read_bytes()
    assert drawn == transfer_figure(FOUND, tmp_path / "b.svg").read_bytes()
    assert drawn.count(b'id="axes_') == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parametrizations": ("mu",)}, "No parametrisation is called 'mu'"),
        ({"widths": (20,)}, "Width 20 is not a multiple"),
        ({"rates": (0.0,)}, "above 0"),
        ({"steps": 0}, "at least 1"),
    ],
)
def test_impossible_sweeps_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]


def test_a_record_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "transfer.json").write_text("{}")
    with pytest.raises(UserError, match="is not a transfer record"):
        read_transfer(tmp_path / "transfer.json")


def test_the_verb_sweeps_and_a_second_call_trains_nothing_anew(
    tmp_path: Path, write_study: Callable[..., Path], isoflop: Callable[..., CompletedProcess[str]]
) -> None:
    study, out = write_study(tmp_path / "study.toml"), tmp_path / "out"
    sweep = ["--widths", "16,32", "--depths", "2", "--rates", "0.25,1,4", "--steps", "12", "--processes", "1"]
    command = ["transfer", "u-mup", "--study", study, *sweep, "--out", out]
    first = isoflop(*command)
    assert first.returncode == 0, first.stderr
    assert "u-mup: the best rate moves by" in first.stdout
    found = read_transfer(out / "transfer.json")
    assert [(one.width, one.layers) for one in found.lines] == [(16, 2), (32, 2)]
    assert all(set(one.losses) >= {0.25, 1.0, 4.0} for one in found.lines)
    assert (out / "transfer.svg").exists()
    stamps = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("run.json")}
    record = json.loads((out / "transfer.json").read_text())
    assert isoflop(*command).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("run.json")} == stamps
    again = json.loads((out / "transfer.json").read_text())
    assert {**again, "finished_at": ""} == {**record, "finished_at": ""}
