"""A place where a file can't stand is the user's to change, and is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.errors import UserError
from isoflop.files import check_folder, write_text


@pytest.mark.parametrize("place", ["file/new", "file/folder/new", "folder", "x" * 300])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"Cannot write .*choose another place"):
        write_text(tmp_path / place, "new")
    assert (tmp_path / "file").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_without_a_name_is_told() -> None:
    with pytest.raises(UserError, match="name a file in it"):
        write_text(Path(), "")


def test_a_system_that_makes_no_such_file_is_told_as_well() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    with pytest.raises(UserError, match="Cannot write /proc/new"):
        write_text(Path("/proc/new"), "")


def test_a_folder_is_tried_before_the_work(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "folder")
    assert not any((tmp_path / "new" / "folder").iterdir())
    (tmp_path / "file").write_text("kept")
    for place in ("file", "file/folder"):
        with pytest.raises(UserError, match=rf"Cannot write .*{place}"):
            check_folder(tmp_path / place)
