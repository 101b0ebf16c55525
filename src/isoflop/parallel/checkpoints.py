"""Checkpoints of a divided run: written while training goes on, seen only when complete, read by any other layout."""

from __future__ import annotations

import errno
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from isoflop.errors import UserError
from isoflop.files import sync_folder
from isoflop.parallel.manifest import (
    BoxLoadPlanner,
    BoxReader,
    BoxSavePlanner,
    BoxWriter,
    contents_of,
    digest,
    dtype_of,
    read_manifest,
    write_manifest,
)
from isoflop.parallel.parallelized import Parallelized
from isoflop.parallel.saved import Boxed, empty_optimizer_state, optimizer_state, weights, whole_tensor

COMPLETE = re.compile(r"step-(\d+)")
RNG = "rng"


class Checkpoints:
    """The checkpoints of one run in `folder`: one sub-folder each, `step-N`, N steps done.

    A checkpoint is written under a hidden name and gets its own when every file is on disk. The last `keep` stay, and
    those whose step is a multiple of `milestone` (0: none). Every rank makes one and calls the same methods at the same
    steps; they speak in a group of their own, so that a save never mixes with training.
    """

    def __init__(self, folder: Path, *, keep: int = 2, milestone: int = 0) -> None:
        if keep < 1:
            raise UserError(f"checkpoints.keep must be at least 1, not {keep}.")
        self.folder, self.keep, self.milestone = folder, keep, milestone
        self.group = dist.new_group(backend="gloo") if dist.is_initialized() else None
        self.rank = dist.get_rank() if self.group is not None else 0
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._saving: Future[None] | None = None
        if self.rank == 0:
            for left in folder.glob(".step-*") if folder.is_dir() else ():
                shutil.rmtree(left, ignore_errors=True)  # what a killed process left of a save

    def save(self, step: int, model: Parallelized, optimizer: torch.optim.Optimizer, rest: dict[str, Any]) -> None:
        """Copy the state after `step` steps and write it in a thread; `rest` is plain JSON values.

        Waits for the save before, and raises the `UserError` that it may have ended with (a full disk).
        """
        self.wait()
        state = {**weights(model.holdings), **optimizer_state(model.holdings, optimizer.state)}
        state[RNG] = whole_tensor(torch.get_rng_state())
        copied = {name: boxed.copy() for name, boxed in state.items()}
        self._saving = self._writer.submit(self._write, step, copied, rest)

    def wait(self) -> None:
        """Return when nothing is being written any more; raises what went wrong."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def close(self) -> None:
        """Wait, and end the thread."""
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def remove(self) -> None:
        """Take all of them away: the run has ended, and what it came to is written elsewhere."""
        for step in self.steps():
            self._remove(self.folder / f"step-{step}")
        if self.folder.is_dir():  # a short run has written none
            self.folder.rmdir()

    def load(self, model: Parallelized, optimizer: torch.optim.Optimizer) -> tuple[int, dict[str, Any]] | None:
        """Take the newest undamaged checkpoint into this rank's part; returns its step and `rest`, None for no one.

        Any layout reads what any other wrote. A damaged one is left out with a warning. Nothing in it is unpickled but
        tensors (`weights_only`).
        """
        found = self._agreed(self._newest() if self.rank == 0 else None)
        if found is None:
            return None
        step, manifest = found
        kinds = {name: (torch.Size(entry["size"]), dtype_of(entry)) for name, entry in manifest["tensors"].items()}
        rng = torch.get_rng_state()
        state: dict[str, Any] = {
            **weights(model.holdings),
            **empty_optimizer_state(model.holdings, optimizer.state, kinds),
            RNG: whole_tensor(rng),
        }
        reader = BoxReader(self.folder / f"step-{step}", contents_of(manifest))
        planner = BoxLoadPlanner(flatten_state_dict=False)
        try:
            load(state, storage_reader=reader, planner=planner, **self._together())
        except CheckpointException as error:
            raise _unfit(error, self.folder / f"step-{step}") from error
        torch.set_rng_state(rng)
        return step, manifest["rest"]

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, ascending."""
        names = (COMPLETE.fullmatch(path.name) for path in self.folder.glob("step-*"))
        return sorted(int(name[1]) for name in names if name)

    def _write(self, step: int, state: dict[str, Boxed], rest: dict[str, Any]) -> None:
        hidden, final = self.folder / f".step-{step}", self.folder / f"step-{step}"
        problem = self._attempt(lambda: hidden.mkdir(parents=True, exist_ok=True))
        if problem is None:
            writer = BoxWriter(hidden)
            problem = self._attempt(lambda: self._write_tensors(state, writer))
        files: dict[str, str] = {}
        if problem is None:
            mine = sorted(hidden.glob(f"__{self.rank}_*"))
            listed = self._gathered({path.name: digest(path) for path in mine})
            files = {name: sha for rank in listed for name, sha in rank.items()}
            problem = self._attempt(lambda: self._publish(hidden, final, writer, files, rest))
        if problem is not None:
            if self.rank == 0:
                shutil.rmtree(hidden, ignore_errors=True)
            raise problem

    def _write_tensors(self, state: dict[str, Any], writer: BoxWriter) -> None:
        planner = BoxSavePlanner(flatten_state_dict=False)
        save(state, storage_writer=writer, planner=planner, **self._together())

    def _together(self) -> dict[str, Any]:
        return {"process_group": self.group, "no_dist": self.group is None}

    def _publish(
        self, hidden: Path, final: Path, writer: BoxWriter, files: dict[str, str], rest: dict[str, Any]
    ) -> None:
        """The first rank writes the manifest, gives the folder its name and clears away what is old."""
        if self.rank != 0:
            return
        assert writer.contents is not None
        write_manifest(hidden, writer.contents, files=files, rest=rest)
        if final.exists():  # damaged, or it would have been continued from
            self._remove(final)
        os.replace(hidden, final)
        sync_folder(self.folder)
        for step in self.steps()[: -self.keep]:
            if not (self.milestone and step % self.milestone == 0):
                self._remove(self.folder / f"step-{step}")

    def _remove(self, folder: Path) -> None:
        hidden = folder.with_name(f".{folder.name}.old")
        os.replace(folder, hidden)  # so that nobody sees half of it
        shutil.rmtree(hidden, ignore_errors=True)

    def _newest(self) -> tuple[int, dict[str, Any]] | None:
        for step in reversed(self.steps()):
            folder = self.folder / f"step-{step}"
            try:
                manifest = read_manifest(folder)
                damage = next(_damage(folder, manifest["files"]), None)
            except (OSError, ValueError, KeyError) as error:
                damage = str(error)
            if damage is None:
                return step, manifest
            older = [s for s in self.steps() if s < step]
            instead = f"the one before it, of step {older[-1]}, is looked at" if older else "there is none before it"
            warnings.warn(f"The checkpoint {folder} is damaged ({damage}) and was left out: {instead}.", stacklevel=3)
        return None

    def _attempt(self, work: Any) -> Exception | None:
        """Do `work`; where it fails on any rank, every rank gets the error of the first that failed."""
        problem: Exception | None = None
        try:
            work()
        except (Exception, CheckpointException) as error:
            problem = _explained(error, self.folder)
        return next((p for p in self._gathered(problem) if p is not None), None)

    def _gathered(self, value: Any) -> list[Any]:
        if self.group is None:
            return [value]
        values: list[Any] = [None] * dist.get_world_size(self.group)
        dist.all_gather_object(values, value, group=self.group)
        return values

    def _agreed(self, value: Any) -> Any:
        return self._gathered(value)[0]


def _damage(folder: Path, files: dict[str, str]) -> Iterator[str]:
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif digest(path) != expected:
            yield f"{name} is not what was written"


def _explained(error: BaseException, folder: Path) -> Exception:
    """The error in a form that other ranks can be sent, and for a full disk that a user can act on."""
    for cause in _causes(error):
        if isinstance(cause, UserError):
            return cause
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return UserError(
                f"No space left for a checkpoint in {folder}: free some and start again; older ones are kept."
            )
    return RuntimeError(f"A checkpoint could not be written to {folder}: {type(error).__name__}: {error}")


def _unfit(error: BaseException, folder: Path) -> UserError:
    reason = str(_causes(error)[-1]).partition("\n")[0].partition(". In PyTorch")[0].rstrip(".")
    return UserError(
        f"The checkpoint {folder} is not of this model, or holds more than tensors ({reason}): move it away."
    )


def _causes(error: BaseException) -> list[BaseException]:
    """The error, and where torch has gathered those of several ranks, these."""
    return [error, *(cause for cause, *_ in getattr(error, "failures", {}).values())]
