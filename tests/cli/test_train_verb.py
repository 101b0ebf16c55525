"""`isoflop train` at the command line: killed and interrupted it goes on exactly, and every mistake is one sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isoflop.runs import read_curve, read_run

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
tokens = 12800
batch_tokens = 64
learning_rate = 0.5
objective = "causal"
checkpoint_minutes = 0.002
evaluations = 2
valid_tokens = 320
[data]
corpus = [{text!r}]
valid_percent = 20
"""
DRIVER = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from isoflop.cli import main; main()"
"""`isoflop` that hears Ctrl-C also where a shell's background job, as CI may be, ignores it."""


@pytest.fixture
def plan(tmp_path: Path, study_text: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(text=str(study_text)))
    return path


def outcome(out: Path) -> tuple[Any, list[tuple[float, ...]]]:
    return read_run(out).loss, [(p.step, p.loss, p.lr, p.grad_norm) for p in read_curve(out)]


def stopped(plan: Path, out: Path, environment: dict[str, str], number: signal.Signals) -> tuple[int, str]:
    """Start, wait until there is a new checkpoint, send the signal; exit code and standard error."""
    checkpoint = out / ".train.ckpt"
    before = _stamp(checkpoint)
    command = [sys.executable, "-c", DRIVER, "train", str(plan), "--out", str(out), "--threads", "1"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 900
    while process.poll() is None and _stamp(checkpoint) <= before:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate(timeout=900)
    return process.returncode, errors


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # the training has just ended
        return 0


def test_killed_and_interrupted_it_ends_as_if_nothing_had_happened(
    plan: Path, tmp_path: Path, isoflop: Callable[..., Any], study_environment: dict[str, str]
) -> None:
    whole = isoflop("train", plan, "--out", tmp_path / "whole", "--threads", 1)
    assert whole.returncode == 0, whole.stderr
    assert "Validation loss" in whole.stdout
    assert "bits per byte" in whole.stdout
    cut = tmp_path / "cut"
    code, _ = stopped(plan, cut, study_environment, signal.SIGKILL)
    assert code == -signal.SIGKILL
    code, errors = stopped(plan, cut, study_environment, signal.SIGINT)
    if code:  # it may have been finished before the signal
        assert code == 130
        assert "interrupted; run the same command again to continue" in errors
        assert "Traceback" not in errors
    again = isoflop("train", plan, "--out", cut, "--threads", 1)
    assert again.returncode == 0, again.stderr
    assert outcome(cut) == outcome(tmp_path / "whole")


def changed(plan: Path, old: str, new: str) -> Path:
    text = plan.read_text()
    assert old in text
    plan.write_text(text.replace(old, new))
    return plan


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("learning_rate", "learning_rat", "unknown key train.learning_rat; did you mean train.learning_rate?"),
        ("width = 16", "widht = 16", "unknown key shape.widht; did you mean shape.width?"),
        ("[data]", "[dat]", "unknown key dat; did you mean data?"),
        ("learning_rate = 0.5", "", "train.learning_rate is missing"),
        ("learning_rate = 0.5", "learning_rate = 'big'", "train.learning_rate = 'big' won't do"),
        ("schema = 1", "schema = 2", "schema is 2, and this version of isoflop reads 1"),
        ("batch_tokens = 64", "batch_tokens = 70", "not a multiple of shape.context, 16: use 64 or 80"),
        ("batch_tokens = 64", "batch_tokens = 6400000", "less than one batch"),
        ("vocab = 300", "vocab = 200", "the tokenizer needs at least 257"),
        ("heads = 2", "heads = 3", "heads"),
        ('"causal"', '"masked"', "is for the stack 'encoder', the shape's is 'decoder'"),
        ("corpus = [", "corpus = ['/no/such/place', ", "is no file, folder or pattern"),
        ("schema = 1", "schema = ", "is not valid TOML"),
        ("corpus = [", "corpus = [] # ", "data.corpus is empty: name the text to train on there, or with --corpus"),
    ],
)
def test_a_mistake_in_a_plan_is_one_sentence(
    plan: Path, old: str, new: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = run_here(["train", str(changed(plan, old, new)), "--out", str(tmp_path / "out")], capsys)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.toml"], "can't be read (No such file or directory)"),
        (["PLAN", "--threads", "0"], "--threads must be at least 1"),
        (["PLAN", "--seed", "-1"], "train.seed must be at least 0"),
        (["PLAN", "--corpus", "/no/such/place"], "is no file, folder or pattern"),
        (["PLAN", "--out", "PLAN"], "can't be written"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(
    plan: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["train", *(str(plan) if word == "PLAN" else word for word in arguments)]
    code, error = run_here(words if "--out" in words else [*words, "--out", str(tmp_path / "out")], capsys)
    assert (code, error.count("\n")) == (2, 1)
    assert message in error


def run_here(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and standard error of the command, run in this process."""
    from isoflop.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["isoflop", *words])
        patch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME", str(Path(words[-1]).parent / "cache")))
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0), capsys.readouterr().err
