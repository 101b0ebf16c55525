"""A folder of this machine that follows a folder of an object store: work is done in files, kept as objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from isoflop.errors import MachineError
from isoflop.executors.place import Store


class Mirror:
    """`fetch` brings what others left, `send` what has changed here since, oldest first.

    Whoever reads the store so sees a later file only with those that were written before it: a run's record is its
    last. Raises `MachineError` where the store does not answer.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self._known: dict[str, tuple[int, int]] = {}

    def fetch(self, under: str = "", *, wanted: Callable[[str], bool] = lambda _: True) -> None:
        """Bring the objects below `under` whose name is `wanted`; leases stay where they are."""
        try:
            for name in self.store.names(under):
                if wanted(name) and not _is_lease(name):
                    self.store.download(name, self.folder / name)
                    self._known[name] = _stamp(self.folder / name)
        except OSError as error:
            raise self._lost(error) from error

    def send(self) -> None:
        """Send what is new or changed, and take away what was taken away here."""
        here = {
            str(path.relative_to(self.folder)): _stamp(path)
            for path in self.folder.rglob("*")
            if path.is_file() and path.suffix != ".tmp"
        }
        changed = [name for name, stamp in here.items() if self._known.get(name) != stamp]
        try:
            for name in sorted(changed, key=lambda name: here[name]):
                self.store.upload(self.folder / name, name)
            for name in self._known.keys() - here.keys():
                self.store.remove(name)
        except OSError as error:
            raise self._lost(error) from error
        self._known = here

    def _lost(self, error: OSError) -> MachineError:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return MachineError(f"{self.store} does not answer ({reason}): run the same command again to go on.")


def _is_lease(name: str) -> bool:
    return any(part.endswith((".lease", ".lock")) for part in name.split("/")[:-1]) or name.endswith(".progress.json")


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
