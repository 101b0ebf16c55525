"""A checkpoint is complete or not there; a damaged one is left out and said; a full disk loses nothing; no pickles."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from isoflop.errors import UserError
from isoflop.parallel import Checkpoints, Mesh
from isoflop.parallel.manifest import MANIFEST, BoxWriter, read_manifest
from parallel.layouts import Layout, a_model
from parallel.resuming import start, train_on
from small_disk import SmallDisk

pytestmark = pytest.mark.usefixtures("world_of_one")
ONE = Layout("one process", Mesh())


class Training:
    """A small run that was trained for a step, and its checkpoints."""

    def __init__(self, folder: Path | Any, **how: Any) -> None:
        self.folder = folder
        self.model, self.optimizer = start(ONE)
        first = dict(a_model(ONE)[0].named_parameters())
        self.model.fill(lambda name, _size: first[name])
        self.checkpoints = Checkpoints(folder, **how)
        train_on(self.model, self.optimizer, range(1))

    def save(self, *steps: int) -> None:
        for step in steps:
            self.checkpoints.save(step, self.model, self.optimizer, {"step": step})
            train_on(self.model, self.optimizer, range(step, step + 1))
        self.checkpoints.wait()

    def load(self) -> int | None:
        """The step that a new process finds."""
        model, optimizer = start(ONE)
        found = Checkpoints(self.folder).load(model, optimizer)
        if found is not None:
            assert found[1] == {"step": found[0]}
            assert all(p.isfinite().all() for _, p in model.named_parameters())
        return None if found is None else found[0]


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Training]:
    run = Training(tmp_path / "checkpoints")
    yield run
    run.checkpoints._writer.shutdown()


def test_nothing_is_found_where_nothing_was_saved(training: Training) -> None:
    assert training.load() is None


def test_the_last_ones_and_milestones_are_kept(tmp_path: Path) -> None:
    run = Training(tmp_path, keep=2, milestone=4)
    run.save(2, 4, 6, 7, 8, 9)
    assert run.checkpoints.steps() == [4, 8, 9]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-4", "step-8", "step-9"]
    run.checkpoints.close()


def test_what_is_loaded_is_what_was_saved_and_not_what_came_after(training: Training) -> None:
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    moments = {h.name: training.optimizer.state[h.parameter]["exp_avg"].clone() for h in training.model.holdings}
    rng = torch.get_rng_state()
    training.save(1)
    torch.rand(7)
    model, optimizer = start(ONE)
    assert Checkpoints(training.folder).load(model, optimizer) == (1, {"step": 1})
    for holding in model.holdings:
        assert torch.equal(holding.parameter, before[holding.name])
        state = optimizer.state[holding.parameter]
        assert torch.equal(state["exp_avg"], moments[holding.name])
        assert state["step"] == 1
    assert torch.equal(torch.get_rng_state(), rng)


@pytest.mark.parametrize("damage", ["truncated", "one bit", "missing", "manifest cut", "manifest missing"])
def test_a_damaged_checkpoint_is_left_out_and_said(training: Training, damage: str) -> None:
    training.save(1, 2)
    newest = training.folder / "step-2"
    data = max(newest.glob("__0_*"), key=lambda path: path.stat().st_size)
    content = data.read_bytes()
    if damage == "truncated":
        data.write_bytes(content[: len(content) // 2])
    elif damage == "one bit":
        data.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    elif damage == "missing":
        data.unlink()
    elif damage == "manifest cut":
        (newest / MANIFEST).write_text((newest / MANIFEST).read_text()[:-40])
    else:
        (newest / MANIFEST).unlink()
    with pytest.warns(UserWarning, match=re.escape(f"{newest} is damaged") + ".*the one before it, of step 1"):
        assert training.load() == 1


def test_a_damaged_checkpoint_is_replaced_when_its_step_comes_again(training: Training) -> None:
    training.save(1, 2)
    (training.folder / "step-2" / MANIFEST).write_text("{}")
    training.save(2)
    assert training.load() == 2


def test_a_full_disk_is_said_and_leaves_the_last_checkpoint(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.save(1)
    written = BoxWriter.write_data

    def full(self: BoxWriter, *arguments: Any) -> Any:
        written(self, *arguments)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(BoxWriter, "write_data", full)
    with pytest.raises(UserError, match="No space left for a checkpoint"):
        training.save(2)
    monkeypatch.undo()
    assert [path.name for path in training.folder.iterdir()] == ["step-1"]
    assert training.load() == 1


def saved(training: Training, step: int) -> str | None:
    """What a save ended with: nothing where it went well."""
    try:
        training.save(step)
    except UserError as error:
        return str(error)
    return None


def test_a_disk_that_is_really_full_costs_no_checkpoint(
    world_of_one: None, small_disk: Callable[[str], SmallDisk]
) -> None:
    """At whatever byte it ends: of the first file, of the manifest, of the names."""
    disk = small_disk("2m")
    training = Training(disk.folder / "checkpoints")
    training.save(1)
    size = sum(path.stat().st_size for path in (training.folder / "step-1").iterdir())
    said = 0
    for room in range(0, 2 * size, max(4096, size // 6)):
        disk.fill(leave=room)
        found = saved(training, 2)
        if found is not None:
            said += 1
            assert found.startswith("No space left")
            assert [path.name for path in training.folder.iterdir()] == ["step-1"]
            assert training.load() == 1
        (disk.folder / "filled").unlink()
    assert said >= 3
    assert training.load() == 2
    training.checkpoints._writer.shutdown()


def test_half_a_save_is_never_seen_and_is_cleared_away(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    training.save(1)
    go_on, reached = threading.Event(), threading.Event()
    written = BoxWriter.write_data

    def slow(self: BoxWriter, *arguments: Any) -> Any:
        done = written(self, *arguments)
        reached.set()
        assert go_on.wait(20)
        return done

    monkeypatch.setattr(BoxWriter, "write_data", slow)
    training.checkpoints.save(2, training.model, training.optimizer, {"step": 2})
    assert reached.wait(20)
    assert training.checkpoints.steps() == [1]
    assert (training.folder / ".step-2").is_dir()
    go_on.set()
    training.checkpoints.wait()
    assert training.checkpoints.steps() == [1, 2]
    (training.folder / ".step-3").mkdir()
    Checkpoints(training.folder)
    assert not (training.folder / ".step-3").exists()


class Harm:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("harm",)


def test_a_checkpoint_that_holds_code_does_not_run_it(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even with the right check sums, as somebody who wrote it on purpose would have made them."""
    import hashlib

    training.save(1)
    folder = training.folder / "step-1"
    assert not list(folder.glob(".metadata"))
    manifest = read_manifest((folder / MANIFEST).read_bytes())
    harm = pickle.dumps(Harm())
    for name in manifest["files"]:
        size = (folder / name).stat().st_size
        (folder / name).write_bytes(harm.ljust(size, b"\0"))
        manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    monkeypatch.chdir(tmp_path)
    model, optimizer = start(ONE)
    with pytest.raises(UserError, match="holds more than tensors"):
        Checkpoints(training.folder).load(model, optimizer)
    assert not (tmp_path / "harm").exists()


def test_the_checkpoint_of_another_model_is_refused(training: Training) -> None:
    training.save(1)
    wider = dataclasses.replace(ONE, shape=dataclasses.replace(ONE.shape, ffn=56))
    with pytest.raises(UserError, match="is not of this model"):
        Checkpoints(training.folder).load(*start(wider))


def test_a_run_keeps_at_least_one() -> None:
    with pytest.raises(UserError, match="at least 1"):
        Checkpoints(Path("nowhere"), keep=0)
