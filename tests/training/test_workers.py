"""`[machine.diloco]`: several workers, one record; killed they go on bit for bit, and what can't be is one sentence."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isoflop.errors import UserError
from isoflop.runs import read_run
from isoflop.training import layout_of, pretrain, read_plan
from training.test_divided import PLAN, curve, workers_of


@pytest.fixture
def plan(tmp_path: Path, study_text: Path) -> Path:
    path = tmp_path / "plan.toml"
    machine = "[machine.diloco]\nevery = 10\n"
    path.write_text(PLAN[: PLAN.index("[machine.mesh]")].format(text=str(study_text)) + machine)
    return path


@pytest.mark.slow
def test_killed_workers_go_on_to_the_same_curve(
    plan: Path, tmp_path: Path, study_environment: dict[str, str], isoflop: Callable[..., Any]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, "-m", "isoflop", "train", str(plan), "--out", str(killed), "--nproc", "2"]
    running = subprocess.Popen(
        command, env=study_environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 900
    while not list((killed / "checkpoints").glob("worker-1*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(workers_of(running)[-1], signal.SIGKILL)
    printed, _ = running.communicate(timeout=900)
    assert running.returncode == 0, printed
    assert re.search(r"going on at step [1-9]\d*0\n", printed), printed
    assert isoflop("train", plan, "--out", whole, "--nproc", "2").returncode == 0
    assert curve(killed) == curve(whole)
    run = read_run(killed)
    assert run.loss == read_run(whole).loss
    assert run.loss is not None
    assert run.loss < curve(killed)[0][1] - 0.5
    assert run.config["diloco"] == {"every": 10, "lr": 0.7, "momentum": 0.9}
    assert not (killed / "checkpoints").exists()


@pytest.mark.slow
def test_where_one_worker_diverges_all_end(plan: Path, tmp_path: Path, isoflop: Callable[..., Any]) -> None:
    plan.write_text(plan.read_text().replace("learning_rate = 0.5", 'learning_rate = 1e9\nparametrization = "sp"'))
    ended = isoflop("train", plan, "--out", tmp_path / "out", "--nproc", "2")
    assert ended.returncode == 1, ended.stderr
    assert "of worker" in read_run(tmp_path / "out").note


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ({"diloco": {"evry": 3}}, "did you mean every"),
        ({"diloco": {"every": 301}}, "every is 301, but the run has 300 steps"),
        ({"diloco": {"every": 10}, "mesh": {"shard": 2}}, "goes with no machine.mesh"),
    ],
)
def test_what_cannot_be_is_refused(plan: Path, machine: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        layout_of(dataclasses.replace(read_plan(plan), machine=machine), 2)


def test_a_batch_that_does_not_divide_and_one_process_are_refused(plan: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be divided over 3 workers"):
        layout_of(read_plan(plan), 3)
    with pytest.raises(UserError, match="needs several processes"):
        next(pretrain(read_plan(plan), tmp_path / "out"))
    skipping = dataclasses.replace(read_plan(plan).train, on_bad_step="skip")
    with pytest.raises(UserError, match="'stop' only"):
        layout_of(dataclasses.replace(read_plan(plan), train=skipping), 2)
