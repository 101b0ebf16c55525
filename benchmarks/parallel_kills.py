"""Kill a process of a divided training at random moments and see that no number changes and no step is lost.

    python benchmarks/parallel_kills.py [--kills 50] [--seed 0]

Trains a small plan on two processes twice: once left alone, once with a random process killed (SIGKILL) at random
moments, some of them while a checkpoint is being written. Prints, for each kill, the last complete checkpoint before it
and the step from which the processes went on, and at the end whether both runs have the same curve, loss and weights.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PLAN = """
schema = 1
[shape]
layers = 2
width = 64
heads = 4
ffn = 128
vocab = 300
context = 64
norm = "plain"
[train]
tokens = {tokens}
batch_tokens = 1024
learning_rate = 0.5
checkpoint_minutes = 0.003
evaluations = 1
valid_tokens = 2000
[data]
corpus = ["{text}"]
valid_percent = 20
[machine]
timeout_seconds = 60
[machine.mesh]
shard = 2
"""


def main() -> int:
    """Run both and compare; 1 where they differ or a step was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    draw = random.Random(settings.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        text = root / "text"
        text.mkdir()
        words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(2, 7))) for _ in range(300)]
        for number in range(40):
            (text / f"{number}.txt").write_text(" ".join(draw.choices(words, k=900)))
        plan = root / "plan.toml"
        plan.write_text(PLAN.format(text=text, tokens=1024 * settings.steps))
        environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src"), "XDG_CACHE_HOME": str(root / "cache")}
        left_alone = train(plan, root / "alone", environment)
        left_alone.communicate()
        kills = wrong = runs = 0
        while kills < settings.kills:
            runs += 1
            out = root / f"killed-{runs}"
            made, lost = killed_run(plan, out, environment, kills=settings.kills - kills, draw=draw)
            kills += made
            wrong += lost + (not same(root / "alone", out))
        print(f"{kills} kills in {runs} runs of {settings.steps} steps: {wrong} runs or steps wrong")
        return int(wrong > 0)


def train(plan: Path, out: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start the training; a process that dies is started again as often as it takes."""
    command = [sys.executable, "-m", "isoflop", "train", str(plan), "--out", str(out), "--nproc", "2"]
    return subprocess.Popen(
        [*command, "--restarts", "1000"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def killed_run(
    plan: Path, out: Path, environment: dict[str, str], *, kills: int, draw: random.Random
) -> tuple[int, int]:
    """Train with at most so many kills; returns their number, and how many checkpoints nobody went on from."""
    running = train(plan, out, environment)
    before: list[int] = []
    killed_at = 0.0
    while len(before) < kills and running.poll() is None:
        wait_for_workers(running, 2)
        if draw.random() < 0.8:  # in the training itself; else anywhere, most likely while it starts
            wait_for_training(running, out, since=killed_at)
        time.sleep(draw.uniform(0.0, 4.0))
        workers = workers_of(running)
        if not workers or (out / "run.json").exists():
            continue
        writing = any(path.stat().st_mtime > killed_at for path in (out / "checkpoints").glob(".step-*"))
        before.append(newest(out))
        os.kill(draw.choice(workers), signal.SIGKILL)
        killed_at = time.time()
        print(f"kill {len(before)}: newest complete checkpoint step-{before[-1]}" + ", writing" * writing, flush=True)
        while set(workers) & set(workers_of(running)):
            time.sleep(0.05)
    printed, _ = running.communicate()
    begun = [int(step.replace(",", "")) for step in re.findall(r"going on at step ([\d,]+)", printed)]
    print(f"{len(before)} kills; sittings went on at steps {begun}; exit code {running.returncode}")
    reached = sorted(set(before) - {0})
    backwards = sum(later < earlier for kept in (before, begun) for earlier, later in pairwise(kept))
    return len(before), backwards + sum(not any(start >= step for start in begun) for step in reached)


def newest(out: Path) -> int:
    """The step of the newest complete checkpoint, 0 for none."""
    return max((int(path.name[5:]) for path in (out / "checkpoints").glob("step-*")), default=0)


def workers_of(launcher: subprocess.Popen[str]) -> list[int]:
    """The processes that divide the work."""
    found = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in found.splitlines()[1:]]
    return [int(pid) for pid, parent, args in rows if int(parent) == launcher.pid and " -m isoflop " in f" {args} "]


def wait_for_workers(launcher: subprocess.Popen[str], count: int) -> None:
    """Until so many are there, or the launcher has ended."""
    while launcher.poll() is None and len(workers_of(launcher)) < count:
        time.sleep(0.05)


def wait_for_training(launcher: subprocess.Popen[str], out: Path, *, since: float) -> None:
    """Until the processes started after `since` train: at first they write the plan down again."""
    plan = out / "plan.json"
    while launcher.poll() is None and not (plan.exists() and plan.stat().st_mtime > since):
        time.sleep(0.05)


def same(one: Path, other: Path) -> bool:
    """Whether two runs have the same curve (but for the time it took), loss and weights."""
    sys.path.insert(0, str(PROJECT / "src"))
    from isoflop.runs import read_curve, read_run

    curves = [[(p.step, p.loss, p.lr, p.grad_norm) for p in read_curve(out)] for out in (one, other)]
    weights = [(out / "model" / "weights.safetensors").read_bytes() for out in (one, other)]
    losses = [read_run(out).loss for out in (one, other)]
    print(
        f"same curve: {curves[0] == curves[1]} ({len(curves[0])} points); same loss: {losses[0] == losses[1]}; ", end=""
    )
    print(f"same weights: {weights[0] == weights[1]}")
    return curves[0] == curves[1] and losses[0] == losses[1] and weights[0] == weights[1]


if __name__ == "__main__":
    sys.exit(main())
