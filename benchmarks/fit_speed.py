"""How right and how fast fits are, against the bars that the project set itself.

    python benchmarks/fit_speed.py epoch_chinchilla.csv

Prints one line per bar: what, measured, bar. Times are CPU seconds of one core (best of several), so that a busy
machine spoils them less; for the command line those of the whole process, with fresh and with warm caches.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import isoflop as iso
from isoflop.fitting.compiled import compiled_kernel
from isoflop.fitting.evaluation import Kernel, jacobian, numpy_kernel
from isoflop.fitting.noise import noise_of
from isoflop.fitting.problem import Problem, build_problem
from isoflop.fitting.resampling import Resampling, draw
from isoflop.fitting.solver import solve

LAW = iso.Law("E + A / N**alpha + B / D**beta")
TRUTH = {"E": 1.8, "A": 480.0, "alpha": 0.35, "B": 2100.0, "beta": 0.37}


def problem_of(runs: iso.Runs) -> Problem:
    """The default fit's problem."""
    return build_problem(LAW, runs, target="loss", objective=iso.Huber(), space="log")


def cpu(work: Callable[[], object], times: int) -> float:
    """The least CPU seconds that `work` takes in so many tries."""
    best = float("inf")
    for _ in range(times):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def accuracy(path: Path) -> None:
    """The two minima that are known to the last digit."""
    for where, objective in (("fit240", 0.0010182740178006), ("", 0.0018260105231)):
        runs = iso.load_runs(path, where=f"split={where}" if where else None)
        fit = iso.fit(runs, LAW, draws=0)
        name = f"objective on {len(runs)} runs"
        print(
            f"{name:<38} {fit.objective:.16g}   (known {objective:.14g}, relative {fit.objective / objective - 1:+.1e})"
        )
        print(f"{'':<38} " + ", ".join(f"{key} {value:.8g}" for key, value in fit.values.items()))


def speed(runs: iso.Runs) -> None:
    """The global fit, and 4,000 draws with either kernel."""
    problem = problem_of(runs)
    theta = solve(problem, compiled_kernel).theta
    model = noise_of(problem.target - problem.predicted(theta[None])[0], jacobian(problem, theta), np.arange(problem.n))
    how = Resampling("cases", 4000, 0, np.arange(problem.n))

    def draws(kernel: Kernel) -> Callable[[], object]:
        return lambda: draw(problem, theta, how=how, noise=model, kernel=kernel)

    line("global fit", cpu(lambda: solve(problem, compiled_kernel), 20), 0.010)
    line("global fit, numpy alone", cpu(lambda: solve(problem, numpy_kernel), 20), None)
    line("4,000 draws, compiled", cpu(draws(compiled_kernel), 5), 0.25)
    line("4,000 draws, numpy", cpu(draws(numpy_kernel), 3), 1.2)


def large() -> None:
    """Fits with all their checks and draws at 1e5 and 1e6 runs, each in a process of its own for its memory."""
    for count, bar in ((100_000, 10.0), (1_000_000, None)):
        command = [sys.executable, __file__, "--rows", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, gigabytes = map(float, done.stdout.split())
        line(f"fit of {count:,} runs, {gigabytes:.2g} GB at most", seconds, bar)


def one_large(count: int) -> None:
    """CPU seconds and peak memory of one fit of `count` simulated runs."""
    rng = np.random.default_rng(0)
    n = np.exp(rng.uniform(np.log(1e7), np.log(1e10), count))
    d = n * np.exp(rng.uniform(np.log(5), np.log(200), count))
    loss = LAW.loss(TRUTH, {"N": n, "D": d}) * np.exp(0.005 * rng.standard_normal(count))
    runs = iso.Runs({"params": n, "tokens": d, "loss": loss})
    seconds = cpu(lambda: iso.fit(runs, LAW), 1)
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


def command_line(path: Path) -> None:
    """`isoflop fit PATH --bootstrap 4000` with nothing kept, then again."""
    command = [sys.executable, "-m", "isoflop", "fit", str(path), "--bootstrap", "4000", "--json"]
    with tempfile.TemporaryDirectory() as cache:
        for name, bar in (("isoflop fit, the very first time", 6.0), ("isoflop fit, warm", 2.0)):
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            environment = {**os.environ, "ISOFLOP_CACHE": cache}
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
            after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            line(f"{name} (wall {wall:.2f} s)", used, bar)


def line(name: str, seconds: float, bar: float | None) -> None:
    """One measurement against its bar."""
    verdict = "" if bar is None else f"   (bar {bar:g} s: {'met' if seconds <= bar else 'MISSED'})"
    print(f"{name:<48} {seconds:9.4f} s{verdict}", flush=True)


def main() -> None:
    """All bars, or with --rows one large fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, nargs="?", help="epoch_chinchilla.csv")
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.rows:
        one_large(chosen.rows)
        return
    if chosen.table is None:
        parser.error("name the table, epoch_chinchilla.csv")
    accuracy(chosen.table)
    speed(iso.load_runs(chosen.table, where="split=fit240"))
    command_line(chosen.table)
    large()


if __name__ == "__main__":
    main()
