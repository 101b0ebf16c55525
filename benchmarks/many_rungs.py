"""A thousand rungs that only wait go through an executor: none lost, none twice, and what each costs besides.

    PYTHONPATH=src:tests python benchmarks/many_rungs.py local|ray|submitit [COUNT] [SECONDS] [SLOTS]

`ray` starts a cluster of two nodes on this machine (and stops every Ray process of it afterwards); `submitit` runs each
rung as a job of its own through submitit's local executor. The overhead of a rung is (wall time · slots − its own
time) / count, per slot: what a slot loses between two rungs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from executors import stub_tasks
from isoflop.executors import Executor, LocalExecutor, RayExecutor, Resources, SlurmExecutor

RAY = Path(sys.executable).with_name("ray")
ADDRESS = "127.0.0.1:6398"


def start_ray(slots: int) -> None:
    """A head and a second node on loopback addresses, half of the slots each."""
    common = [f"--num-cpus={slots // 2}", "--object-store-memory=80000000"]
    head = ["--head", "--port=6398", "--node-ip-address=127.0.0.1", "--include-dashboard=false"]
    for place in (head, [f"--address={ADDRESS}", "--node-ip-address=127.0.0.2"]):
        subprocess.run([str(RAY), "start", *place, *common], check=True, capture_output=True)


def executor(kind: str, slots: int, folder: Path) -> Executor:
    """The executor to be measured."""
    if kind == "local":
        return LocalExecutor(slots=slots)
    if kind == "ray":
        start_ray(slots)
        return RayExecutor(ADDRESS, cpus=1)
    return SlurmExecutor(folder / "slurm", Resources(at_once=slots), cluster="local")


def main() -> None:
    """Print one line."""
    kind = sys.argv[1] if len(sys.argv) > 1 else "local"
    count, seconds, slots = (float(sys.argv[i]) if len(sys.argv) > i else d for i, d in ((2, 1000), (3, 1.0), (4, 32)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = stub_tasks.tasks(int(count), folder / "runs", seconds=seconds)
        with executor(kind, int(slots), folder) as place:
            start = time.perf_counter()
            events = list(place.run(tasks))
            wall = time.perf_counter() - start
        done = Counter(event.task for event in events if event.message is None)
        lost = len(tasks) - len(stub_tasks.records(folder / "runs"))
        begun = [len(path.read_text().split()) for path in (folder / "runs").glob("*.begun")]
    if kind == "ray":
        subprocess.run([str(RAY), "stop", "--force"], check=True, capture_output=True)
    overhead = 1000 * (wall - count * seconds / slots) / (count / slots)
    print(
        f"{kind}: {len(tasks)} rungs of {seconds:g} s on {slots:g} slots in {wall:.1f} s; lost {lost}, told twice "
        f"{sum(n > 1 for n in done.values())}, begun twice {sum(n > 1 for n in begun)}; {overhead:.0f} ms over its own "
        f"time for each rung of a slot, {1000 * (wall / count) - 1000 * seconds / slots:.1f} ms of wall time a rung"
    )


if __name__ == "__main__":
    main()
