"""A study in an object store has the numbers of one in a folder, whoever is cut off, and wherever it goes on."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isoflop.errors import UserError
from isoflop.executors import LocalExecutor, Mirror, Resources, Store
from isoflop.runs import read_curve, read_run
from isoflop.study import trunks
from isoflop.study.stored import home_of
from isoflop.study.study import executor_for
from isoflop.study.trunks import train_trunks
from isoflop.training import TrunkJob
from object_store import S3
from training.test_trunk import job, measured, without_time  # noqa: F401  # `job` is a fixture


@pytest.fixture
def stored_job(job: TrunkJob, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrunkJob:  # noqa: F811
    """A trunk of a study in the store, on a machine that has no tokens yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    address, tokens = s3.address(), Path(job.data)
    Mirror(tokens, Store(f"{address}/tokens/{tokens.name}")).send()
    return dataclasses.replace(job, out=f"{address}/runs", data=f"{address}/tokens/{tokens.name}")


def test_a_trunk_that_is_cut_off_goes_on_on_another_machine(
    job: TrunkJob,  # noqa: F811
    stored_job: TrunkJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = dataclasses.replace(job, out=str(tmp_path / "whole"))
    expected = measured(whole)
    with monkeypatch.context() as patch:
        patch.setattr("isoflop.training.trunk.PROGRESS_SECONDS", -1.0)
        assert len(list(itertools.islice(trunks.train(stored_job.to_dict()), 33))) == 33
    runs = Store(stored_job.out)
    assert [name for name in runs.names() if name.endswith(".ckpt")]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    told = [message for message in trunks.train(stored_job.to_dict()) if message["kind"] == "run"]
    assert [message["folder"] for message in told] == [f"{stored_job.out}/{run.run}" for run in expected]
    Mirror(tmp_path / "here", runs).fetch()
    for run in expected:
        assert read_run(tmp_path / "here" / run.run).loss == run.loss
        curves = [without_time(read_curve(folder / run.run)) for folder in (tmp_path / "here", tmp_path / "whole")]
        assert curves[0] == curves[1]
    assert not [name for name in runs.names() if name.startswith(".")]


def test_runs_are_here_before_they_are_told(
    job: TrunkJob,  # noqa: F811
    s3: S3,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2] / "src"))  # for the processes that train
    address = s3.address()
    with home_of(address) as home, home.executor(LocalExecutor(slots=1)) as executor:
        told = [event.what for event in train_trunks(executor, [job]) if event.what is not None]
        runs = [one for one in told if not hasattr(one, "done")]
        assert len(runs) == len(job.milestones)
        assert [read_run(home.folder / "runs" / run.run) for run in runs] == runs
    assert f"runs/{job.run_name(0)}/run.json" in Store(address).names()


def test_slurm_needs_a_folder() -> None:
    with pytest.raises(UserError, match="--on slurm needs --out in a folder that all machines see, not s3://b/x"):
        executor_for("slurm", Resources(), "s3://b/x")


def losses(folder: Path) -> dict[str, float | None]:
    """Of every run."""
    return {path.parent.name: read_run(path.parent).loss for path in folder.glob("*/run.json")}


@pytest.mark.slow
def test_a_study_in_a_store_is_the_study_in_a_folder(
    s3: S3,
    tmp_path: Path,
    write_study: Callable[..., Path],
    isoflop: Callable[..., Any],
    finished_study: Path,
    study_environment: dict[str, str],
) -> None:
    study_environment.update(s3.environment)
    file, address = write_study(tmp_path / "study.toml"), s3.address()
    done = isoflop("study", file, "--out", address)
    assert done.returncode == 0, done.stderr
    assert f"{address}/report.html" in done.stdout
    again = isoflop("study", file, "--out", address)
    sentences = [re.search(r"Predicted .* interval", one.stdout) for one in (done, again)]
    assert sentences[0]
    assert sentences[1]
    assert sentences[0][0] == sentences[1][0]
    Mirror(tmp_path / "here", Store(address)).fetch()
    found, expected = (losses(out / "runs") for out in (tmp_path / "here", finished_study))
    assert found == expected
    verdicts = [json.loads((out / "verdict.json").read_text()) for out in (tmp_path / "here", finished_study)]
    assert verdicts[0]["predicted"] == verdicts[1]["predicted"]
    other = write_study(tmp_path / "other.toml", flops=2.6e9)
    refused = isoflop("study", other, "--out", address)
    assert refused.returncode == 2
    assert f"{address} holds a study with another budget.flops" in refused.stderr
