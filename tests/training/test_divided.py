"""`isoflop train --nproc`: the curve of one process, also when a process is killed; mistakes are one sentence."""

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
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from isoflop.errors import UserError
from isoflop.models import load_model
from isoflop.parallel import Mesh, Method
from isoflop.planning.layout import Layout
from isoflop.runs import read_curve, read_run
from isoflop.training import Plan, layout_of, pretrain, read_plan
from isoflop.training.divided import Divided
from isoflop.training.interrupt import StopRequest
from isoflop.training.pretraining import settle
from isoflop.training.workers import Worker

PLAN = """
schema = 1
[shape]
layers = 1
width = 16
heads = 2
ffn = 32
vocab = 300
context = 16
norm = "plain"
[train]
tokens = 19200
batch_tokens = 64
learning_rate = 0.5
checkpoint_minutes = 0.002
evaluations = 2
valid_tokens = 320
[data]
corpus = [{text!r}]
valid_percent = 20
[machine.mesh]
tensor = 2
[machine.method]
micro_batches = 2
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, study_text: Path) -> Path:
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    path.write_text(PLAN.format(text=str(study_text)))
    return path


@pytest.fixture(scope="module")
def whole(plan: Path, isoflop: Callable[..., Any]) -> Path:
    """What two processes came to that were left alone."""
    out = plan.parent / "whole"
    done = isoflop("train", plan, "--out", out, "--nproc", "2")
    assert done.returncode == 0, done.stderr
    return out


def with_machine(plan: Plan, **machine: Any) -> Plan:
    return dataclasses.replace(plan, machine=machine)


def curve(out: Path) -> list[tuple[int, float, float]]:
    return [(p.step, p.loss, p.grad_norm) for p in read_curve(out)]


def workers_of(launcher: subprocess.Popen[str]) -> list[int]:
    """The processes that divide the work."""
    found = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in found.splitlines()[1:]]
    return [int(pid) for pid, parent, args in rows if int(parent) == launcher.pid and " -m isoflop " in f" {args} "]


def test_a_killed_process_is_started_again_and_changes_no_number(
    plan: Path, whole: Path, tmp_path: Path, study_environment: dict[str, str]
) -> None:
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "isoflop", "train", str(plan), "--out", str(killed), "--nproc", "2"]
    running = subprocess.Popen(
        command, env=study_environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 900
    while not list((killed / "checkpoints").glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(workers_of(running)[-1], signal.SIGKILL)
    printed, _ = running.communicate(timeout=900)
    assert running.returncode == 0, printed
    assert re.search(r"going on at step [1-9]", printed), printed
    assert curve(killed) == curve(whole)
    assert read_run(killed).loss == read_run(whole).loss
    assert read_run(killed).config["processes"] == 2
    assert not (killed / "checkpoints").exists()
    ended = [dict(load_model(out / "model")[0].named_parameters()) for out in (whole, killed)]
    assert all(torch.equal(ended[0][name], ended[1][name]) for name in ended[0])


def test_an_interrupt_is_one_sentence_and_the_same_command_goes_on(
    plan: Path, whole: Path, tmp_path: Path, study_environment: dict[str, str], isoflop: Callable[..., Any]
) -> None:
    """Ctrl-C, which reaches everything in the foreground of a terminal."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "isoflop", "train", str(plan), "--out", str(out), "--nproc", "2"]
    running = subprocess.Popen(command, env=study_environment, stderr=subprocess.PIPE, text=True, process_group=0)
    deadline = time.monotonic() + 900
    while not list((out / "checkpoints").glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(running.pid, signal.SIGINT)
    _, error = running.communicate(timeout=900)
    assert (running.returncode, error) == (130, "isoflop: interrupted; run the same command again to continue.\n")
    assert not (out / "run.json").exists()
    again = isoflop("train", plan, "--out", out, "--nproc", "2")
    assert re.search(r"going on at step [1-9]", again.stdout + again.stderr), again.stdout + again.stderr
    assert curve(out) == curve(whole)


@pytest.mark.parametrize("kind", [Divided, Worker])
def test_a_signal_while_processes_agree_is_not_lost(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    """The others can't have heard of it: it counts when they agree the next time."""
    stop = StopRequest()
    monkeypatch.setattr("torch.distributed.all_reduce", lambda _flags: stop._hear())
    one = SimpleNamespace(writes=False, meeting=True, stopping=False)
    assert not kind.due(one, stop, 0.0)
    assert not one.stopping
    monkeypatch.setattr("torch.distributed.all_reduce", lambda _flags: None)
    assert kind.due(one, stop, 0.0)
    assert one.stopping


def test_two_processes_come_to_the_loss_of_one(
    plan: Path, whole: Path, tmp_path: Path, isoflop: Callable[..., Any]
) -> None:
    one = tmp_path / "one"
    assert isoflop("train", plan, "--out", one, "--threads", "1").returncode == 0
    for found, expected in zip(curve(whole)[:60], curve(one)[:60], strict=True):
        assert found == pytest.approx(expected, abs=1e-5)
    found, expected = read_run(whole), read_run(one)  # by now what was rounded otherwise has grown ten-thousandfold
    assert (found.loss, found.loss_se) == pytest.approx((expected.loss, expected.loss_se), abs=5e-3)


def test_a_mistake_is_one_sentence_before_anything_starts(
    plan: Path, tmp_path: Path, isoflop: Callable[..., Any]
) -> None:
    done = isoflop("train", plan, "--out", tmp_path / "out", "--nproc", "3")
    assert done.returncode == 2
    assert done.stderr.strip() == "isoflop: The mesh tensor 2 needs 2 processes, but 3 were started."


def test_what_several_processes_began_one_does_not_begin_anew_and_the_other_way_round(
    plan: Path, tmp_path: Path
) -> None:
    (tmp_path / "several" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="several processes began: go on with --nproc"):
        list(pretrain(read_plan(plan), tmp_path / "several"))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / ".train.ckpt").touch()
    with pytest.raises(UserError, match="one process began: go on without --nproc"):
        settle(read_plan(plan), tmp_path / "one", divided=True)


def test_a_plan_says_its_mesh(plan: Path) -> None:
    assert layout_of(read_plan(plan), 2) == (Mesh(tensor=2), Method(micro_batches=2))


def test_without_a_mesh_the_state_is_divided_over_all(plan: Path) -> None:
    assert layout_of(with_machine(read_plan(plan)), 4) == (Mesh(shard=4), Method())


def test_the_planners_layout_is_taken_where_it_is_for_so_many(plan: Path) -> None:
    layout = vars(Layout(data=2, tensor=2, shard="all", recompute="half"))
    planned = with_machine(read_plan(plan), devices=4, layout=layout)
    assert layout_of(planned, 4) == (Mesh(shard=2, tensor=2), Method(recompute="selective", micro_batches=2))
    assert layout_of(planned, 2) == (Mesh(shard=2), Method())


def test_an_unknown_key_of_the_mesh_is_named(plan: Path) -> None:
    with pytest.raises(UserError, match="unknown key tensors; did you mean tensor"):
        layout_of(with_machine(read_plan(plan), mesh={"tensors": 2}), 2)


def test_muon_and_averages_are_refused_where_weights_are_divided(plan: Path) -> None:
    read = read_plan(plan)
    muon = dataclasses.replace(read, optimizer=dataclasses.replace(read.optimizer, name="muon"))
    with pytest.raises(UserError, match="Muon needs whole matrices"):
        layout_of(muon, 2)
    with pytest.raises(UserError, match="leave it out"):
        layout_of(dataclasses.replace(read, train=dataclasses.replace(read.train, ema=0.9)), 2)
