"""Whatever executor: every task done, its record there once, mistakes told in their words, dead machines replaced."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from executors import stub_tasks
from isoflop.errors import MachineError, UserError
from isoflop.executors import Executor, LocalExecutor, RayExecutor, Resources, SlurmExecutor, TaskEvent
from isoflop.executors import task as task_module

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="starts clusters of processes")
TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "src"
RAY = Path(sys.executable).with_name("ray")
SBATCH = """#!{python}
import os, subprocess, sys
jobs, script = {jobs!r}, sys.argv[-1]
number = str(100 + len(os.listdir(jobs)))
os.makedirs(os.path.join(jobs, number))
open(os.path.join(jobs, number, "options"), "w").write(" ".join(sys.argv[1:-1]) + "\\n" + open(script).read())
env = dict(os.environ, SLURM_JOB_ID=number, SLURM_NTASKS="1", SLURM_PROCID="0", SLURM_LOCALID="0", SLURM_NODEID="0",
           SLURM_JOB_NODELIST="here", SLURM_JOB_NUM_NODES="1")
out = open(os.path.join(jobs, number, "log"), "w")
subprocess.Popen(["bash", script], env=env, stdout=out, stderr=out, start_new_session=True)
print("Submitted batch job " + number)
"""
SRUN = """#!{python}
import os, sys
words = sys.argv[1:]
while words[0].startswith("--"):
    words = words[1 if "=" in words[0] or words[0].startswith("--un") else 2:]
os.execvp(words[0], words)
"""


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of every kind find this source and the stub tasks."""
    monkeypatch.setenv("PYTHONPATH", f"{SOURCE}{os.pathsep}{TESTS}")


class RayCluster:
    """A head and further nodes, each its own `ray start` with its own raylet, on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address, self.from_elsewhere = folder, "", "ray://127.0.0.1:6397"
        self.environment = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{TESTS}"}

    def start(self, *arguments: str) -> list[int]:
        """Start a node; returns its raylet's process numbers."""
        before = raylets()
        command = [str(RAY), "start", *arguments, "--num-cpus=2", "--object-store-memory=80000000"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return sorted(raylets() - before)


def raylets() -> set[int]:
    found = set()
    for pid in processes():
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"/raylet"):
                found.add(pid)
        except OSError:
            continue
    return found


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def under(pid: int, raylet: int) -> bool:
    """Whether process `pid` is a worker of that raylet."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]) == raylet
    except OSError:
        return False


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    pytest.importorskip("ray")
    cluster = RayCluster(tmp_path_factory.mktemp("ray"))
    cluster.address = "127.0.0.1:6399"
    cluster.start(
        "--head",
        "--port=6399",
        "--node-ip-address=127.0.0.1",
        "--ray-client-server-port=6397",
        "--include-dashboard=false",
        "--disable-usage-stats",
    )
    yield cluster
    subprocess.run([str(RAY), "stop", "--force"], env=cluster.environment, capture_output=True, check=False)


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of jobs, and `sbatch` and its kin on the PATH that run them here at once."""
    jobs, binaries = tmp_path / "jobs", tmp_path / "bin"
    jobs.mkdir()
    binaries.mkdir()
    scripts = {
        "sbatch": SBATCH.format(python=sys.executable, jobs=str(jobs)),
        "srun": SRUN.format(python=sys.executable),
        "scancel": "#!/bin/sh\n",
        "squeue": "#!/bin/sh\n",
        "sacct": "#!/bin/sh\necho 'JobID|State|NodeList'\n",
    }
    for name, text in scripts.items():
        (binaries / name).write_text(text)
        (binaries / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}{os.pathsep}{os.environ['PATH']}")
    return jobs


Make = Callable[[], Executor]


@pytest.fixture(params=["local", "ray", "submitit"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes an executor of each kind."""
    if request.param == "local":
        return lambda: LocalExecutor(slots=3)
    if request.param == "ray":
        cluster: RayCluster = request.getfixturevalue("ray_cluster")
        return lambda: RayExecutor(cluster.address, cpus=1)
    pytest.importorskip("submitit")
    return lambda: SlurmExecutor(tmp_path / "slurm", Resources(minutes=5), cluster="local")


def run(make: Make, tasks: list[task_module.Task]) -> list[TaskEvent]:
    with make() as executor:
        return list(executor.run(tasks))


def test_every_task_is_done_once_and_told(make: Make, tmp_path: Path) -> None:
    tasks = stub_tasks.tasks(5, tmp_path / "runs")
    events = run(make, tasks)
    assert stub_tasks.records(tmp_path / "runs") == sorted(task.name for task in tasks)
    done = Counter(event.task for event in events if event.message is None)
    assert done == Counter(task.name for task in tasks)
    told = Counter(event.task for event in events if event.message and event.message["kind"] == "record")
    assert told == done
    assert not list((tmp_path / "runs").glob(".*"))  # no lease and no note of progress is left behind


def test_progress_is_told_from_everywhere(make: Make, tmp_path: Path) -> None:
    events = run(make, stub_tasks.tasks(1, tmp_path / "runs", seconds=3.0))
    assert any(event.message and event.message["kind"] == "progress" for event in events)


def test_what_is_done_already_is_told_and_not_done_again(make: Make, tmp_path: Path) -> None:
    tasks = stub_tasks.tasks(2, tmp_path / "runs")
    run(make, tasks)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.json")}
    events = run(make, tasks)
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.json")}
    assert sum(event.message is None for event in events) == 2


def test_a_mistake_is_told_in_its_own_words(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^t0 found the disk full\.$"):
        run(make, stub_tasks.tasks(1, tmp_path / "runs", call="mistake"))


def test_a_bug_is_told_with_its_traceback(make: Make, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="t0 failed"):
        run(make, stub_tasks.tasks(1, tmp_path / "runs", call="no_such_function"))


def test_a_local_worker_that_dies_is_told(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="trained t0 ended with code 9"):
        run(lambda: LocalExecutor(slots=1), stub_tasks.tasks(1, tmp_path / "runs", call="dies_once"))


def test_ray_starts_a_task_again_whose_process_died(ray_cluster: RayCluster, tmp_path: Path) -> None:
    run(lambda: RayExecutor(ray_cluster.address), stub_tasks.tasks(2, tmp_path / "runs", call="dies_once"))
    assert stub_tasks.records(tmp_path / "runs") == ["t0", "t1"]


def test_a_cluster_is_reached_from_elsewhere(ray_cluster: RayCluster, tmp_path: Path) -> None:
    """Through Ray's client: this process is no node of the cluster, and only what tasks leave on storage comes back."""
    tasks = stub_tasks.tasks(2, tmp_path / "runs", call="dies_once")
    events = run(lambda: RayExecutor(ray_cluster.from_elsewhere), tasks)
    assert stub_tasks.records(tmp_path / "runs") == ["t0", "t1"]
    assert sum(event.message is None for event in events) == 2


def test_a_cluster_that_answers_and_loses_our_server_is_asked_again(
    ray_cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    failures, init = [ConnectionAbortedError("Starting Ray client server failed.")] * 2, ray.init

    def dies_twice(**arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return init(**arguments)

    monkeypatch.setattr(ray, "init", dies_twice)
    run(lambda: RayExecutor(ray_cluster.address), stub_tasks.tasks(1, tmp_path / "runs"))
    assert stub_tasks.records(tmp_path / "runs") == ["t0"]
    failures.extend([ConnectionAbortedError("Starting Ray client server failed.")] * 3)
    with pytest.raises(UserError, match="No Ray cluster answers at"):
        RayExecutor(ray_cluster.address)


def test_a_cluster_is_reached_after_another_did_not_answer(
    ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.util.client import worker

    for name in ("INITIAL_TIMEOUT_SEC", "MAX_TIMEOUT_SEC"):
        monkeypatch.setattr(worker, name, 0.1)
    with pytest.warns(UserWarning, match="timed out"), pytest.raises(UserError, match="No Ray cluster answers at ray:"):
        RayExecutor("ray://127.0.0.1:9")
    with RayExecutor(ray_cluster.address) as executor:
        assert executor.slots == 2
        with pytest.raises(UserError, match="joined a Ray cluster already"):
            RayExecutor(ray_cluster.address)
        assert executor._ray.is_initialized()  # what was there is not cut off


def test_a_ray_node_that_is_killed_costs_no_record(ray_cluster: RayCluster, tmp_path: Path) -> None:
    node = ray_cluster.start(f"--address={ray_cluster.address}", "--node-ip-address=127.0.0.2")
    assert node
    tasks = stub_tasks.tasks(12, tmp_path / "runs", seconds=1.0)
    killed = False
    with RayExecutor(ray_cluster.address) as executor:
        assert executor.slots == 4
        for _ in executor.run(tasks):
            if not killed and any(under(pid, node[0]) for pid in stub_tasks.under_way(tmp_path / "runs")):
                killed = True
                for pid in [*(pid for pid in processes() if under(pid, node[0])), *node]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, 9)
    assert killed
    assert len(stub_tasks.records(tmp_path / "runs")) == 12
    begun = [len(path.read_text().split()) for path in (tmp_path / "runs").glob("*.begun")]
    assert max(begun) >= 2  # something was under way on the node that died, and was begun again


def test_a_second_process_waits_for_the_task_that_the_first_does(tmp_path: Path) -> None:
    (task,) = stub_tasks.tasks(1, tmp_path / "runs", seconds=1.0)
    command = [sys.executable, "-m", "isoflop.executors.worker"]
    text = json.dumps(asdict(task)) + "\n"
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(text)
        worker.stdin.flush()
    for worker in workers:
        outputs.append(worker.communicate()[0])
    assert all('"kind": "done"' in output for output in outputs), outputs
    assert sum(output.count('"kind": "progress"') for output in outputs) == stub_tasks.STEPS


def test_slurm_jobs_ask_for_what_was_configured_and_bring_their_records(fake_slurm: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    wanted = Resources(cpus=2, gpus=1, memory_gb=8, minutes=30, at_once=2, sbatch={"partition": "small", "qos": "low"})
    tasks = stub_tasks.tasks(3, tmp_path / "runs", seconds=0.2)
    run(lambda: SlurmExecutor(tmp_path / "slurm", wanted), tasks)
    assert stub_tasks.records(tmp_path / "runs") == ["t0", "t1", "t2"]
    jobs = sorted(fake_slurm.iterdir())
    assert len(jobs) == 3
    script = (jobs[0] / "options").read_text()
    for option in (
        "--cpus-per-task=2",
        "--gpus-per-node=1",
        "--mem=8GB",
        "--time=30",
        "--partition=small",
        "--qos=low",
    ):
        assert option in script
    assert "export OMP_NUM_THREADS=2" in script


def test_without_a_cluster_the_user_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(Path(shutil.which("true") or "/bin/true").parent))
    with pytest.raises(UserError, match="sbatch"):
        SlurmExecutor(tmp_path, Resources())


def test_an_interrupt_at_any_line_stays_an_interrupt_and_leaves_no_worker(tmp_path: Path) -> None:
    """Ctrl-C may come at any time: here, in turn, before each line that one task passes through."""
    from isoflop.executors import local

    for moment in itertools.count():
        lines, interrupted = itertools.count(), False

        def trace(frame: FrameType, event: str, _: object, moment: int = moment, lines: Iterator[int] = lines) -> Any:
            if frame.f_code.co_filename != local.__file__ or frame.f_code.co_name == "__exit__":
                return None
            if event == "line" and next(lines) == moment:
                raise KeyboardInterrupt
            return trace

        executor = LocalExecutor(slots=1)
        tasks = stub_tasks.tasks(1, tmp_path / f"{moment}")
        before = sys.gettrace()
        try:
            with executor:
                sys.settrace(trace)
                assert [event.message for event in executor.run(tasks)][-1] is None
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.settrace(before)
        assert all(process.poll() == -signal.SIGKILL for process in executor._processes.values())
        if not interrupted:
            break
    assert moment > 20
