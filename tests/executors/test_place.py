"""Folders and object stores keep whole files, and of several who create one, one succeeds."""

from __future__ import annotations

import os
import subprocess
import threading
import uuid
from pathlib import Path

import pytest

from isoflop.errors import MachineError, UserError
from isoflop.executors import Held, Mirror, Store, alone, hold
from isoflop.executors.place import Folder, Place, place_of
from object_store import S3


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place of each kind."""
    if request.param == "folder":
        return place_of(tmp_path)
    if request.param == "memory":
        return place_of(f"memory://{uuid.uuid4().hex}")
    s3: S3 = request.getfixturevalue("s3")
    return place_of(s3.address())


def test_a_file_is_what_was_written_last(place: Place) -> None:
    place.prepare()
    assert place.names() == []
    place.create("1", b"one")
    place.write("1", b"two")
    place.write("2", b"")
    assert (sorted(place.names()), place.read("1"), place.read("2")) == (["1", "2"], b"two", b"")
    place.remove("1")
    place.remove("1")
    assert place.names() == ["2"]
    with pytest.raises(FileNotFoundError):
        place.read("1")


def test_of_many_who_create_one_file_one_succeeds(place: Place) -> None:
    place.prepare()
    start, won, refused = threading.Barrier(8), list[int](), list[int]()

    def create(number: int) -> None:
        start.wait()
        try:
            place.create("1", str(number).encode())
            won.append(number)
        except FileExistsError:
            refused.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(refused)) == (1, 7)
    assert place.read("1") == str(won[0]).encode()


def test_a_lease_at_a_store_is_one_owners_and_is_taken_over_from_a_dead_one(s3: S3) -> None:
    lock = f"{s3.address()}/lock"
    with hold(lock), pytest.raises(Held, match=str(os.getpid())), hold(lock):
        pass
    with hold(lock, remove=True):
        assert Store(lock).names() == ["2"]
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead = ended.pid
    with hold(lock) as lease:
        owner = lease._me.as_bytes().replace(f'"pid": {os.getpid()}'.encode(), f'"pid": {dead}'.encode())
        Store(lock).write("1", owner)
        lease._stop.set()
        with hold(lock) as taken:
            lease.check()
            assert taken._number == 2


def test_a_study_in_a_store_is_one_process_at_a_time(s3: S3) -> None:
    address = s3.address()
    with (
        alone(address, what="the study"),
        pytest.raises(UserError, match=f"Another process runs the study in {address}"),
        alone(address, what="the study"),
    ):
        pass
    assert Store(address).names() == []


def test_a_bucket_that_is_not_there_is_named(s3: S3) -> None:
    with pytest.raises(UserError, match=r"s3://nowhere/x can't be used .*: check its name and your credentials"):
        Store("s3://nowhere/x").check()


def test_a_store_that_writes_over_what_it_should_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "create", Store.write)
    with pytest.raises(UserError, match="two studies could not be told apart"):
        Store("memory://careless").check()


def test_a_store_that_can_not_be_locked_is_refused() -> None:
    with pytest.raises(UserError, match=r"az://x is no storage that isoflop can lock: use s3://, gs://"):
        place_of("az://x")


def test_a_mirror_sends_what_changed_in_order_and_fetches_it_elsewhere(s3: S3, tmp_path: Path) -> None:
    address, sent = s3.address(), list[str]()
    here, there = Mirror(tmp_path / "here", Store(address)), Mirror(tmp_path / "there", Store(address))
    upload = here.store.upload
    here.store.upload = lambda path, name: (sent.append(name), upload(path, name))[1]  # type: ignore[method-assign]
    (tmp_path / "here" / "run").mkdir(parents=True)
    for moment, name in enumerate(("run/curve.jsonl", ".trunk.ckpt", "run/run.json")):
        (tmp_path / "here" / name).write_text(name)
        os.utime(tmp_path / "here" / name, (moment, moment))
    here.send()
    assert sent == ["run/curve.jsonl", ".trunk.ckpt", "run/run.json"]
    here.send()
    assert len(sent) == 3
    there.fetch("run")
    assert sorted(p.name for p in (tmp_path / "there").rglob("*") if p.is_file()) == ["curve.jsonl", "run.json"]
    (tmp_path / "here" / ".trunk.ckpt").unlink()
    (tmp_path / "here" / "run" / "run.json").write_text("changed")
    here.send()
    assert sent[3:] == ["run/run.json"]
    assert Store(address).names() == ["run/curve.jsonl", "run/run.json"]
    there.fetch()
    assert (tmp_path / "there" / "run" / "run.json").read_text() == "changed"


def test_a_store_that_is_away_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = Mirror(tmp_path, Store("memory://away"))
    (tmp_path / "file").write_text("x")

    def away(*_: object) -> None:
        raise OSError("EndpointConnectionError: no network")

    monkeypatch.setattr(mirror.store._files, "put_file", away)
    with pytest.raises(MachineError, match=r"memory://away does not answer .*run the same command again"):
        mirror.send()


def test_a_folder_leaves_no_temporary_file(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.create("1", b"x")
    with pytest.raises(FileExistsError):
        folder.create("1", b"y")
    assert folder.names() == ["1"]
