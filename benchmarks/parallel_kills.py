"""Kill a process of a divided training at random moments and see that no number changes and no step is lost.

    python benchmarks/parallel_kills.py [--kills 50] [--seed 0]

Trains a small plan on two processes: once left alone, then again and again with a random process killed (SIGKILL),
each time after the first step of a sitting: half of the kills at a random moment of the steps, half while a checkpoint
is being written. Prints, for each kill, the last complete checkpoint before it and the step from which the processes
went on, and after each run whether it has the curve, loss and weights of the one that was left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
STEPS_SECONDS, WRITE_SECONDS = 1.0, 0.03
"""A kill comes so much after the first step, and where it is to hit a write so much after the next begins, at most."""
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
        kills, writing, wrong, runs = 0, 0, 0, 0
        while kills < settings.kills:
            runs += 1
            out = root / f"killed-{runs}"
            found = killed_run(plan, out, environment, kills=settings.kills - kills, draw=draw)
            kills, writing = kills + len(found), writing + sum(one.writing for one in found)
            wrong += sum(one.lost for one in found) + (not same(root / "alone", out))
        print(
            f"{kills} kills in {runs} runs of {settings.steps} steps, {writing} of them while a checkpoint was being "
            f"written: {wrong} runs or steps wrong"
        )
        return int(wrong > 0)


def train(plan: Path, out: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start the training; a process that dies is started again as often as it takes."""
    command = [sys.executable, "-m", "isoflop", "train", str(plan), "--out", str(out), "--nproc", "2"]
    return subprocess.Popen(
        [*command, "--restarts", "1000"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


@dataclass(frozen=True)
class Kill:
    """One kill: whether it hit a write, the newest complete checkpoint before it, where the next sitting began."""

    writing: bool
    kept: int
    begun: int

    @property
    def lost(self) -> bool:
        return self.begun < self.kept


def killed_run(plan: Path, out: Path, environment: dict[str, str], *, kills: int, draw: random.Random) -> list[Kill]:
    """Train with at most so many kills."""
    running, found = train(plan, out, environment), list[Kill]()
    begun = first_step(running, out, since=0.0)
    while begun is not None and len(found) < kills:
        time.sleep(draw.uniform(0.0, STEPS_SECONDS))
        if draw.random() < 0.5:
            wait_for_write(running, out)
            time.sleep(draw.uniform(0.0, WRITE_SECONDS))
        workers, kept = workers_of(running), newest(out)
        if not workers or (out / "run.json").exists():
            break
        killed_at = time.time()
        os.kill(draw.choice(workers), signal.SIGKILL)
        writing = is_writing(out)
        while set(workers) & set(workers_of(running)):
            time.sleep(0.05)
        begun = first_step(running, out, since=killed_at)
        if begun is not None:  # else the kill came after the end of the training
            found.append(Kill(writing, kept, begun))
            print(f"kill {len(found)}: {found[-1]}", flush=True)
    running.communicate()
    print(f"{len(found)} kills; exit code {running.returncode}")
    return found


def first_step(launcher: subprocess.Popen[str], out: Path, *, since: float) -> int | None:
    """Wait until the processes started after `since` take steps; the step at which they began, None at the end."""
    beat = out / "beats" / "beat-0.json"
    while launcher.poll() is None:
        if beat.exists() and beat.stat().st_mtime > since:
            with suppress(ValueError, FileNotFoundError):  # being written
                return int(json.loads(beat.read_text())["step"])
        time.sleep(0.005)
    return None


def is_writing(out: Path) -> bool:
    """Whether there is half a checkpoint."""
    return any(not path.name.endswith(".old") for path in (out / "checkpoints").glob(".step-*"))


def wait_for_write(launcher: subprocess.Popen[str], out: Path) -> None:
    """Until a checkpoint is begun."""
    while launcher.poll() is None and not is_writing(out):
        time.sleep(0.001)


def newest(out: Path) -> int:
    """The step of the newest complete checkpoint, 0 for none."""
    return max((int(path.name[5:]) for path in (out / "checkpoints").glob("step-*")), default=0)


def workers_of(launcher: subprocess.Popen[str]) -> list[int]:
    """The processes that divide the work."""
    found = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in found.splitlines()[1:]]
    return [int(pid) for pid, parent, args in rows if int(parent) == launcher.pid and " -m isoflop " in f" {args} "]


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
