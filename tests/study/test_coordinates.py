"""The coordinate check passes what is right, fails SP, and fails a table whose rule was broken."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from isoflop.cli.app import app
from isoflop.errors import UserError
from isoflop.models import Parametrization, parametrization
from isoflop.models.parametrization import BlockRule, Power, Role, Rule
from isoflop.study.coordinates import Check, CheckConfig, Trace, check_coordinates, check_parametrizations
from isoflop.study.pictures import coordinate_figure

SMALL = CheckConfig(widths=(32, 64, 128), depths=(2, 4, 8), steps=6, seeds=1, context=32)


@pytest.fixture(scope="module")
def check() -> Check:
    return check_parametrizations(["sp", "mup", "u-mup", "completep"], SMALL)


def test_all_but_sp_pass(check: Check) -> None:
    assert {name: check.passed(name) for name in check.names} == {
        "sp": False,
        "mup": True,
        "u-mup": True,
        "completep": True,
    }


def test_what_an_update_changes_grows_with_depth_where_there_is_no_depth_rule(check: Check) -> None:
    slopes = {
        trace.parametrization: trace.slope
        for trace in check.traces
        if (trace.by, trace.what, trace.kind) == ("depth", "last block", "change")
    }
    assert min(slopes["sp"], slopes["mup"]) > 0.5
    assert max(abs(slopes["u-mup"]), abs(slopes["completep"])) < SMALL.tolerance


def with_rule(name: str, role: Role, **changes: object) -> Parametrization:
    table = parametrization(name)
    rule = dataclasses.replace(table.rules[role], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(table, rules={**table.rules, role: rule})


@pytest.mark.parametrize(
    "broken",
    [
        with_rule("mup", "hidden", lr=Rule(Power()).lr),
        with_rule("mup", "hidden", init=Power(0.02)),
        with_rule("mup", "output", multiplier=Power()),
        with_rule("u-mup", "hidden", lr=Power()),
        with_rule("u-mup", "output", multiplier=Power(fan_in=-0.5)),
        dataclasses.replace(parametrization("completep"), block=BlockRule(branch=Power(depth=-0.25))),
        dataclasses.replace(parametrization("u-mup"), block=BlockRule(branch=Power(layers=-0.5))),
    ],
    ids=["hidden rate", "hidden init", "readout", "u hidden rate", "u readout", "branches", "u depth rate"],
)
def test_a_broken_rule_fails(broken: Parametrization) -> None:
    assert not check_coordinates([broken], SMALL).passed(broken.name)


def test_a_size_that_is_not_finite_fails() -> None:
    trace = Trace("mup", "width", "logits", "change", (1, 2), (1.0, float("nan")), (0.0, 0.0), judged=True)
    assert not trace.passes(0.25)


def test_the_picture_is_the_same_file_each_time(check: Check, tmp_path: Path) -> None:
    first, second = (coordinate_figure(check, tmp_path / name).read_bytes() for name in ("a.svg", "b.svg"))
    assert first == second
    assert b"</svg>" in first
    with pytest.raises(UserError, match=r"name a file that ends in \.svg"):
        coordinate_figure(check, tmp_path / "a.txt")


def test_the_verb_leaves_picture_and_numbers_and_its_exit_code_is_the_verdict(tmp_path: Path) -> None:
    options = ["--widths", "32,64,128", "--depths", "2,4", "--steps", "6", "--seeds", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, ["coord-check", "mup", *options])
    assert done.exit_code == 0
    assert "mup passes" in done.stdout
    assert (tmp_path / "coordinates.svg").stat().st_size > 10_000
    record = json.loads((tmp_path / "coordinates.json").read_text())
    assert record["passed"] == {"mup": True}
    assert CliRunner().invoke(app, ["coord-check", "sp", *options]).exit_code == 0, "SP makes no promise"


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"widths": (32,)}, "at least two widths"), ({"widths": (30, 40)}, "Width 30"), ({"steps": 0}, "at least 1")],
)
def test_impossible_checks_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CheckConfig(**changes)  # type: ignore[arg-type]
