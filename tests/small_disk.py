"""A disk that can really be full."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of its own, of a size that can be changed."""

    def __init__(self, folder: Path, size: str) -> None:
        self.folder = folder
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small disk needs root")

    def resize(self, size: str) -> None:
        """Make it as large as `size` ("4m")."""
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True)

    def fill(self, *, leave: int) -> None:
        """Take all room but so many bytes."""
        free = os.statvfs(self.folder)
        (self.folder / "filled").write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - leave)))
