"""A training that hangs ends with its stacks written down, and on several processes starts again to the same curve."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isoflop.errors import UserError
from isoflop.training.watchdog import STALLED, TIMES_FIRST, TIMES_SLOWEST, Watchdog
from training.test_divided import PLAN, curve, workers_of

HANGING = """
import sys, time
from pathlib import Path
from isoflop.training.watchdog import Watchdog
def the_place_where_it_hangs():
    time.sleep(3000)
with Watchdog(Path(sys.argv[1]), least_seconds=0.2, rank=3) as watch:
    watch.doing("step", 0)
    watch.doing("step", 1)
    the_place_where_it_hangs()
"""


def test_a_process_that_hangs_says_where_and_ends(tmp_path: Path, study_environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", HANGING, str(tmp_path)]
    ended = subprocess.run(command, env=study_environment, capture_output=True, text=True, timeout=900)
    assert ended.returncode == STALLED
    assert ended.stderr.startswith("isoflop: process 3 hangs: no end of the step after 1 steps")
    assert ended.stderr.count("\n") == 1
    (stacks,) = tmp_path.glob("stacks-3-*.txt")
    assert "the_place_where_it_hangs" in stacks.read_text()
    assert json.loads((tmp_path / "beat-3.json").read_text())["step"] == 0  # beats are a second apart


def test_the_limit_grows_with_what_was_slow_and_is_long_for_a_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    with Watchdog(tmp_path / "beats", least_seconds=50.0) as watch:
        monkeypatch.setattr("isoflop.training.watchdog.time.monotonic", lambda: clock[0])
        watch.doing("step", 0)
        assert watch.limit == TIMES_FIRST * 50
        for took, limit in ((1, 50), (20, TIMES_SLOWEST * 20), (3, TIMES_SLOWEST * 20)):
            clock[0] += took
            watch.doing("step", 1)
            assert watch.limit == limit
        watch.doing("validation", 1)
        assert watch.limit == TIMES_FIRST * 50
        monkeypatch.undo()
    assert not (tmp_path / "beats").exists()


def test_a_limit_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"machine\.stall_seconds must be above 0"):
        Watchdog(tmp_path, least_seconds=0)


@pytest.mark.slow
def test_a_stopped_process_is_noticed_and_changes_no_number(
    tmp_path: Path, study_text: Path, study_environment: dict[str, str], isoflop: Callable[..., Any]
) -> None:
    plan, whole, stopped = tmp_path / "plan.toml", tmp_path / "whole", tmp_path / "stopped"
    plan.write_text(
        PLAN.format(text=str(study_text)).replace("[machine.mesh]", "[machine]\nstall_seconds = 8\n[machine.mesh]")
    )
    command = [sys.executable, "-m", "isoflop", "train", str(plan), "--out", str(stopped), "--nproc", "2"]
    running = subprocess.Popen(
        command, env=study_environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 900
    while not list((stopped / "checkpoints").glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(workers_of(running)[-1], signal.SIGSTOP)
    printed, _ = running.communicate(timeout=900)
    assert running.returncode == 0, printed
    assert "hangs: no end of the" in printed
    assert "going on at step" in printed
    assert list((stopped / "beats").glob("stacks-0-*.txt"))
    assert isoflop("train", plan, "--out", whole, "--nproc", "2").returncode == 0
    assert curve(stopped) == curve(whole)
