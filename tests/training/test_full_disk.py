"""A disk that is really full ends a training or a study with one sentence; with room again the same command goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isoflop.runs import load_runs, read_run
from small_disk import SmallDisk
from training.test_divided import PLAN, curve

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("processes", [1, 2])
def test_a_training_ends_with_a_sentence_and_goes_on(
    tmp_path: Path,
    study_text: Path,
    isoflop: Callable[..., Any],
    small_disk: Callable[[str], SmallDisk],
    processes: int,
) -> None:
    plan, whole, disk = tmp_path / "plan.toml", tmp_path / "whole", small_disk("96k")
    plan.write_text(PLAN.format(text=str(study_text)))
    how = ("--nproc", "2") if processes == 2 else ("--threads", "1")
    full = isoflop("train", plan, "--out", disk.folder / "out", *how)
    assert full.returncode == 2, full.stderr
    (sentence,) = [line for line in full.stderr.splitlines() if line.startswith("isoflop:")]
    assert "No space left" in sentence
    assert "Traceback" not in full.stderr
    assert not (disk.folder / "out" / "run.json").exists()
    disk.resize("20m")
    assert isoflop("train", plan, "--out", disk.folder / "out", *how).returncode == 0
    assert isoflop("train", plan, "--out", whole, *how).returncode == 0
    assert curve(disk.folder / "out") == curve(whole)
    assert read_run(disk.folder / "out").loss == read_run(whole).loss


def test_a_study_ends_with_a_sentence_and_goes_on(
    tmp_path: Path,
    write_study: Callable[..., Path],
    isoflop: Callable[..., Any],
    small_disk: Callable[[str], SmallDisk],
) -> None:
    study, whole, disk = write_study(tmp_path / "study.toml"), tmp_path / "whole", small_disk("256k")
    full = isoflop("study", study, "--out", disk.folder / "out")
    assert full.returncode == 2, full.stderr
    assert "No space left" in full.stderr
    assert "Traceback" not in full.stderr
    disk.resize("20m")
    done = isoflop("study", study, "--out", disk.folder / "out")
    assert done.returncode == 0, done.stderr
    assert isoflop("study", study, "--out", whole).returncode == 0
    losses = []
    for runs in (load_runs(disk.folder / "out" / "runs"), load_runs(whole / "runs")):
        losses.append(dict(zip(runs["run"], runs["L"], strict=True)))
    assert losses[0] == losses[1]
