"""What every test may use: the folder of public data, the command line, and a small study that was run to its end."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from object_store import S3
from small_disk import SmallDisk

BESIDE_THE_PROJECT = Path(__file__).resolve().parents[2] / "shared" / "data"
SOURCE = Path(__file__).resolve().parents[1] / "src"
os.environ.setdefault("OMP_NUM_THREADS", "1")
"""Before torch is imported: the threads of an operation on a tiny tensor wait for each other, and long where other work
has the cores."""

STUDY = """
[corpus]
paths = [{text!r}]
valid_percent = 20
[tokenizer]
vocab = 300
[budget]
flops = {flops}
[model]
layers = 1
context = 16
[ladder]
sizes = 2
budgets = 3
tokens_per_param = 2
batch = 8
rates = [0.5]
replicates = {replicates}
target_replicates = 1
[train]
valid_sequences = 64
"""
"""A whole study in seconds: its numbers mean nothing, its files and its order of events do."""


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with `runs/` and `text/` (ISOFLOP_DATA, else beside the project); skips where there is none."""
    folder = Path(os.environ.get("ISOFLOP_DATA", BESIDE_THE_PROJECT))
    if not (folder / "runs").is_dir():
        pytest.skip(f"no public data at {folder}: set ISOFLOP_DATA to the folder that holds runs/ and text/")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], SmallDisk]]:
    """Makes a disk of a size ("512k"), which is really full when it is full; skips where that is not permitted."""
    folder = tmp_path / "disk"
    yield lambda size: SmallDisk(folder, size)
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """An S3 server of its own, which this process and those that it starts are told of."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    store = S3("http://{}:{}".format(*server.get_host_and_port()))
    before = dict(os.environ)
    os.environ.update(store.environment)
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).mkdir("bucket")
    yield store
    os.environ.clear()
    os.environ.update(before)
    server.stop()


@pytest.fixture(scope="session")
def study_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sixty small documents with words and topics, from a fixed seed."""
    folder = tmp_path_factory.mktemp("text")
    draw = random.Random(0)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(2, 7))) for _ in range(300)]
    for number in range(60):
        topic = draw.sample(words, 40)
        text = " ".join(draw.choice(topic if draw.random() < 0.7 else words) for _ in range(700))
        (folder / f"{number}.txt").write_text(text)
    return folder


@pytest.fixture(scope="session")
def study_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a study's process: this source, a token cache of its own, a terminal that does not wrap."""
    cache = str(tmp_path_factory.mktemp("cache"))
    return {**os.environ, "PYTHONPATH": str(SOURCE), "XDG_CACHE_HOME": cache, "COLUMNS": "400"}


@pytest.fixture(scope="session")
def write_study(study_text: Path) -> Callable[..., Path]:
    """Writes a small study's file: `write_study(path, flops=2.5e9, replicates=1)`."""

    def write(path: Path, *, flops: float = 2.5e9, replicates: int = 1, text: Path = study_text) -> Path:
        path.write_text(STUDY.format(text=str(text), flops=flops, replicates=replicates))
        return path

    return write


Finished = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def isoflop(study_environment: dict[str, str]) -> Callable[..., Finished]:
    """Runs `isoflop ARGUMENTS` in a process of its own; returns what it printed and its exit code."""

    def run(*arguments: object) -> Finished:
        command = [sys.executable, "-m", "isoflop", *map(str, arguments)]
        return subprocess.run(command, env=study_environment, capture_output=True, text=True, timeout=900)

    return run


@pytest.fixture(scope="session")
def finished_study(
    tmp_path_factory: pytest.TempPathFactory, write_study: Callable[..., Path], isoflop: Callable[..., Finished]
) -> Path:
    """The folder of a small study that was run to its end, with what it printed in `printed.txt`. Don't change it."""
    folder = tmp_path_factory.mktemp("study")
    done = isoflop("study", write_study(folder / "study.toml"), "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    (folder / "out" / "printed.txt").write_text(done.stdout)
    return folder / "out"
