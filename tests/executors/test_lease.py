"""A lease has one owner at a time, whatever dies, stalls or starts at the same moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from isoflop.errors import MachineError
from isoflop.executors import lease as lease_module
from isoflop.executors.lease import FOREVER, Held, Owner, alone, hold

HOLDER = """
import sys, time
from pathlib import Path
from isoflop.executors.lease import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
RACER = """
import sys, time
from pathlib import Path
from isoflop.executors.lease import FOREVER, hold
folder, log = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(15):
    with hold(folder, wait=FOREVER, remove=True) as lease:
        descriptor = (log / "inside").open("x")  # fails where another is inside
        time.sleep(0.002)
        lease.check()
        (log / "inside").unlink()
        with (log / "count").open("a") as handle:
            handle.write("x")
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "BEAT_EVERY", 0.05)
    monkeypatch.setattr(lease_module, "DEAD_AFTER", 0.5)
    monkeypatch.setattr(lease_module, "POLL", 0.02)


def start(script: str, *arguments: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(lease_module.__file__).parents[2])}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def as_if_elsewhere(folder: Path, number: int = 1) -> Path:
    """A lease whose owner lives on another machine, as this one sees it."""
    folder.mkdir()
    (folder / str(number)).write_text(json.dumps(asdict(replace(Owner.myself(), host="far", place="far"))))
    return folder / str(number)


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    with hold(tmp_path / "lock"), pytest.raises(Held, match=str(os.getpid())), hold(tmp_path / "lock"):
        pass
    with hold(tmp_path / "lock", remove=True):
        assert (tmp_path / "lock").exists()
    assert not (tmp_path / "lock").exists()


def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    with start(HOLDER, tmp_path / "lock") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(Held, match=str(process.pid)), hold(tmp_path / "lock"):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = time.monotonic()
    with hold(tmp_path / "lock"):
        assert time.monotonic() - before < lease_module.DEAD_AFTER / 2


def test_a_process_number_used_again_is_not_the_owner(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    (tmp_path / "lock" / "4").write_text(json.dumps(asdict(replace(Owner.myself(), began="1"))))
    with hold(tmp_path / "lock"):
        assert (tmp_path / "lock" / "5").exists()


@pytest.mark.usefixtures("quick")
def test_an_owner_elsewhere_is_dead_when_its_heart_stands_still(tmp_path: Path) -> None:
    as_if_elsewhere(tmp_path / "lock")
    before = time.monotonic()
    with hold(tmp_path / "lock"):
        assert time.monotonic() - before > 0.5


@pytest.mark.usefixtures("quick")
def test_an_owner_elsewhere_whose_heart_beats_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "DEAD_AFTER", 30.0)  # a busy machine may let a heart rest for seconds
    file, stop = as_if_elsewhere(tmp_path / "lock"), threading.Event()

    def beat() -> None:
        owner = Owner(**json.loads(file.read_text()))
        while not stop.wait(0.1):
            owner = replace(owner, beat=owner.beat + 1)
            file.with_name("new").write_text(json.dumps(asdict(owner)))
            os.replace(file.with_name("new"), file)

    heart = threading.Thread(target=beat)
    heart.start()
    with pytest.raises(Held, match="far"), hold(tmp_path / "lock", wait=1.0):
        pass
    stop.set()
    heart.join()


@pytest.mark.usefixtures("quick")
def test_an_owner_that_was_taken_over_is_told_and_leaves_the_new_one_alone(tmp_path: Path) -> None:
    with hold(tmp_path / "lock", remove=True) as lease:
        lease.check()
        newer = asdict(replace(Owner.myself(), host="far", place="far"))
        (tmp_path / "lock" / "2").write_text(json.dumps(newer))
        lease._heart.join(timeout=60)  # it stops beating when it sees the newer one
        with pytest.raises(MachineError, match="taken over"):
            lease.check()
    assert json.loads((tmp_path / "lock" / "2").read_text()) == newer


def test_of_many_that_want_it_one_has_it_at_a_time(tmp_path: Path) -> None:
    processes = [start(RACER, tmp_path / "lock", tmp_path) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert len((tmp_path / "count").read_text()) == 4 * 15
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.usefixtures("quick")
def test_whoever_waits_gets_it_when_it_is_given_back(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with hold(tmp_path / "lock", wait=FOREVER):
            order.append("second")

    with hold(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_folder_that_was_there_stays_and_one_made_for_nothing_goes(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("old", "new"):
        with alone(tmp_path / name, what="the study"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
