"""Processor time of `isoflop plan` in its common forms: `python benchmarks/verb_times.py [RUNS]`.

Each form is a process of its own, run RUNS times (7) in turn with the others; user and system time of the process are
read, as other work on the machine changes the time by the clock. A fit with 4,000 draws is made first, on simulated
runs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

LAW = "chinchilla:besiroglu2024"
FORMS = (
    (LAW, "--flops", "5.76e23", "--json"),
    ("FIT", "--flops", "1e22"),
    ("FIT", "--loss", "2.2"),
    ("FIT", "--params", "7e9"),
    ("FIT", "--unique-tokens", "1e11"),
    ("FIT", "--flops", "1e22", "--serve-tokens", "1e12"),
    (LAW, "--gpus", "64xh100", "--days", "30"),
    ("FIT", "--gpus", "64xh100", "--days", "30"),
    (LAW, "--usd", "2e6"),
    (LAW, "--gpus", "100000xh100", "--days", "90"),
    (LAW, "--flops", "5.76e23", "--serve-tokens", "1e13"),
    (LAW, "--loss", "2.0"),
    ("data_constrained:muennighoff2023", "--flops", "1e23", "--unique-tokens", "1e11"),
)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as folder:
        fit = make_fit(Path(folder))
        commands = [[fit if part == "FIT" else part for part in form] for form in FORMS]
        times = [[seconds(command) for command in commands] for _ in range(runs)]
    print("median  most   seconds of processor time")
    for form, took in zip(FORMS, zip(*times, strict=True), strict=True):
        print(f"{median(took):6.2f} {max(took):5.2f}   isoflop plan {' '.join(form)}")


def make_fit(folder: Path) -> str:
    """The JSON file of a fit to 60 simulated runs."""
    import isoflop as iso

    draw = np.random.default_rng(0)
    rows = ["params,tokens,loss"]
    for flops in np.repeat(10.0 ** np.arange(17, 22), 12):
        params = (flops / 120) ** 0.5 * np.exp(draw.uniform(-1, 1))
        tokens = flops / (6 * params)
        loss = (1.8172 + 482.01 / params**0.3478 + 2085.43 / tokens**0.3658) * np.exp(draw.normal(0, 3e-3))
        rows.append(f"{params:.0f},{tokens:.0f},{loss:.6f}")
    table = folder / "runs.csv"
    table.write_text("\n".join(rows) + "\n")
    written = folder / "fit.json"
    written.write_text(iso.fit(iso.load_runs(table), "chinchilla").to_json())
    return str(written)


def seconds(command: list[str]) -> float:
    """User and system time of one `isoflop plan`."""
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "isoflop", "plan", *command],
        {**os.environ, "OMP_NUM_THREADS": "1"},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"isoflop plan {' '.join(command)} failed.")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
