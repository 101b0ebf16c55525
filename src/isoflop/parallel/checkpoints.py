"""Checkpoints of a divided run: written while training goes on, seen only when complete, read by any other layout."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from isoflop.errors import MachineError, UserError
from isoflop.executors import is_url
from isoflop.parallel.manifest import (
    BoxLoadPlanner,
    BoxSavePlanner,
    BoxWriter,
    contents_of,
    dtype_of,
)
from isoflop.parallel.parallelized import Parallelized
from isoflop.parallel.saved import Boxed, empty_optimizer_state, optimizer_state, weights, whole_tensor
from isoflop.parallel.shelves import shelf_at

RNG = "rng"


class Checkpoints:
    """The checkpoints of one run in a folder or object store: `step-N` each, N steps done.

    A checkpoint is seen when all of it is kept, and not before. The last `keep` stay, and those whose step is a
    multiple of `milestone` (0: none). Every rank makes one and calls the same methods at the same steps; they speak
    in a group of their own, so that a save never mixes with training.
    """

    def __init__(self, where: Path | str, *, keep: int = 2, milestone: int = 0) -> None:
        if keep < 1:
            raise UserError(f"checkpoints.keep must be at least 1, not {keep}.")
        self.where, self.shelf, self.keep, self.milestone = where, shelf_at(where), keep, milestone
        self.group = dist.new_group(backend="gloo") if dist.is_initialized() else None
        self.rank = dist.get_rank() if self.group is not None else 0
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._saving: Future[None] | None = None
        if self.rank == 0:
            self.shelf.clear()

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
            self.shelf.remove(step)
        self.shelf.leave()

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
        reader = self.shelf.reader(step, contents_of(manifest))
        planner = BoxLoadPlanner(flatten_state_dict=False)
        try:
            load(state, storage_reader=reader, planner=planner, **self._together())
        except CheckpointException as error:
            raise _unfit(error, self.shelf.place(step)) from error
        torch.set_rng_state(rng)
        return step, manifest["rest"]

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, ascending."""
        return self.shelf.steps()

    def _write(self, step: int, state: dict[str, Boxed], rest: dict[str, Any]) -> None:
        """Four things that all ranks do together; after the first that fails on any of them, nobody goes on."""
        shelf, first = self.shelf, self.rank == 0
        place: list[Path] = []
        files: dict[str, str] = {}
        try:
            self._attempt(lambda: place.append(self._begun(step)))
            writer = BoxWriter(place[0])
            self._attempt(lambda: self._write_tensors(state, writer))
            self._attempt(lambda: files.update(shelf.put(step, self.rank)))
            everywhere = {name: sha for rank in self._gathered(files) for name, sha in rank.items()}
            self._attempt(lambda: self._publish(step, writer, everywhere, rest))
        finally:
            shelf.forget(step, first=first)

    def _begun(self, step: int) -> Path:
        if self.rank == 0 and step in self.steps():  # damaged, or it would have been continued from
            self.shelf.remove(step)
        return self.shelf.begin(step)

    def _write_tensors(self, state: dict[str, Any], writer: BoxWriter) -> None:
        planner = BoxSavePlanner(flatten_state_dict=False)
        save(state, storage_writer=writer, planner=planner, **self._together())

    def _together(self) -> dict[str, Any]:
        return {"process_group": self.group, "no_dist": self.group is None}

    def _publish(self, step: int, writer: BoxWriter, files: dict[str, str], rest: dict[str, Any]) -> None:
        """The first rank completes the checkpoint and clears away what is old."""
        if self.rank != 0:
            return
        assert writer.contents is not None
        self.shelf.publish(step, writer.contents, files=files, rest=rest)
        for old in self.steps()[: -self.keep]:
            if not (self.milestone and old % self.milestone == 0):
                self.shelf.remove(old)

    def _newest(self) -> tuple[int, dict[str, Any]] | None:
        for step in reversed(self.steps()):
            try:
                manifest = self.shelf.manifest(step)
                damage = next(self._damage(step, manifest["files"]), None)
            except (OSError, ValueError, KeyError) as error:
                damage = str(error)
            if damage is None:
                return step, manifest
            older = [s for s in self.steps() if s < step]
            instead = f"the one before it, of step {older[-1]}, is looked at" if older else "there is none before it"
            place = self.shelf.place(step)
            warnings.warn(f"The checkpoint {place} is damaged ({damage}) and was left out: {instead}.", stacklevel=3)
        return None

    def _damage(self, step: int, files: dict[str, str]) -> Iterator[str]:
        for name, expected in files.items():
            try:
                found = self.shelf.digest(step, name)
            except FileNotFoundError:
                yield f"{name} is missing"
            else:
                if found != expected:
                    yield f"{name} is not what was written"

    def _attempt(self, work: Callable[[], Any]) -> None:
        """Do `work`; where it fails on any rank, every rank raises the error of the first that failed."""
        problem: Exception | None = None
        try:
            work()
        except (Exception, CheckpointException) as error:
            problem = _explained(error, self.where)
        for one in self._gathered(problem):
            if one is not None:
                raise one

    def _gathered(self, value: Any) -> list[Any]:
        if self.group is None:
            return [value]
        values: list[Any] = [None] * dist.get_world_size(self.group)
        dist.all_gather_object(values, value, group=self.group)
        return values

    def _agreed(self, value: Any) -> Any:
        return self._gathered(value)[0]


def _explained(error: BaseException, folder: Path | str) -> Exception:
    """The error in a form that other ranks can be sent, and for a full disk that a user can act on."""
    for cause in _causes(error):
        if isinstance(cause, UserError):
            return cause
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return UserError(
                f"No space left for a checkpoint in {folder}: free some and start again; older ones are kept."
            )
        if isinstance(cause, OSError) and is_url(folder):
            return MachineError(f"{folder} does not answer ({cause}): run the same command again to go on.")
    return RuntimeError(f"A checkpoint could not be written to {folder}: {type(error).__name__}: {error}")


def _unfit(error: BaseException, folder: str) -> UserError:
    reason = str(_causes(error)[-1]).partition("\n")[0].partition(". In PyTorch")[0].rstrip(".")
    return UserError(
        f"The checkpoint {folder} is not of this model, or holds more than tensors ({reason}): move it away."
    )


def _causes(error: BaseException) -> list[BaseException]:
    """The error, and where torch has gathered those of several ranks, these."""
    return [error, *(cause for cause, *_ in getattr(error, "failures", {}).values())]
