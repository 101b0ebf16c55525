"""Checkpoints at an object store: seen when complete, left out when damaged, and of any layout as in a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from isoflop.errors import MachineError
from isoflop.executors import Store
from isoflop.parallel import Checkpoints
from isoflop.parallel.manifest import MANIFEST
from object_store import S3
from parallel.resuming import start
from parallel.test_checkpoints import ONE, Training
from training.test_divided import PLAN, curve, workers_of

pytestmark = pytest.mark.usefixtures("world_of_one")


@pytest.fixture
def training(s3: S3) -> Iterator[Training]:
    """A small run whose checkpoints are at a store."""
    run = Training(s3.address())
    yield run
    run.checkpoints._writer.shutdown()


def test_what_is_loaded_is_what_was_saved(training: Training) -> None:
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    training.save(1)
    model, optimizer = start(ONE)
    assert Checkpoints(training.folder).load(model, optimizer) == (1, {"step": 1})
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(optimizer.state[holding.parameter]["step"] == 1 for holding in model.holdings)


def test_the_last_two_are_kept_and_at_the_end_none(training: Training) -> None:
    training.save(1, 2, 3)
    assert training.checkpoints.steps() == [2, 3]
    assert {name.partition("/")[0] for name in Store(str(training.folder)).names()} == {"step-2", "step-3"}
    training.checkpoints.remove()
    assert Store(str(training.folder)).names() == []


@pytest.mark.parametrize("damage", ["truncated", "one bit", "missing", "manifest cut"])
def test_a_damaged_checkpoint_is_left_out_and_said(training: Training, damage: str) -> None:
    training.save(1, 2)
    store = Store(f"{training.folder}/step-2")
    (data,) = (name for name in store.names() if name != MANIFEST)
    content = store.read(data)
    if damage == "truncated":
        store.write(data, content[: len(content) // 2])
    elif damage == "one bit":
        store.write(data, content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    elif damage == "missing":
        store.remove(data)
    else:
        store.write(MANIFEST, store.read(MANIFEST)[:-40])
    with pytest.warns(UserWarning, match=f"{training.folder}/step-2 is damaged .*the one before it, of step 1"):
        assert training.load() == 1
    training.save(2)
    assert training.load() == 2


def test_half_a_save_is_never_seen_and_is_cleared_away(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    training.save(1)
    upload = Store.upload

    def broken(self: Store, path: Path, name: str) -> None:
        if name.endswith(MANIFEST):
            raise OSError("EndpointConnectionError: no network")
        upload(self, path, name)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "upload", broken)
        patch.setattr(Store, "remove", lambda *_: None)  # nor can it tidy up
        with pytest.raises(MachineError, match=r"does not answer .*run the same command again"):
            training.save(2)
    assert any(name.startswith("step-2/") for name in Store(str(training.folder)).names())
    assert training.checkpoints.steps() == [1]
    assert training.load() == 1
    assert not any(name.startswith("step-2/") for name in Store(str(training.folder)).names())


@pytest.mark.slow
def test_a_killed_process_goes_on_from_the_store(
    s3: S3, tmp_path: Path, study_text: Path, study_environment: dict[str, str], isoflop: Callable[..., Any]
) -> None:
    study_environment.update(s3.environment)
    address, text = s3.address(), PLAN.format(text=str(study_text))
    plans = [tmp_path / name for name in ("folder.toml", "store.toml")]
    plans[0].write_text(text)
    plans[1].write_text(text.replace("[machine.mesh]", f'[machine]\ncheckpoints = "{address}"\n[machine.mesh]'))
    assert isoflop("train", plans[0], "--out", tmp_path / "whole", "--nproc", "2").returncode == 0
    command = [sys.executable, "-m", "isoflop", "train", str(plans[1]), "--out", str(tmp_path / "out"), "--nproc", "2"]
    running = subprocess.Popen(
        command, env=study_environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 120
    while not any(name.endswith(MANIFEST) for name in Store(address).names()) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(workers_of(running)[-1], signal.SIGKILL)
    printed, _ = running.communicate(timeout=900)
    assert running.returncode == 0, printed
    assert "going on at step" in printed
    assert curve(tmp_path / "out") == curve(tmp_path / "whole")
    assert Store(address).names() == []
