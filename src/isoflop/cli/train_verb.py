"""`isoflop train`."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isoflop.cli.launching import is_launched, launch, tell, without
from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.runs import Run
    from isoflop.training import Plan, Watchdog
    from isoflop.training.course import Event

DIVERGED = 1
USER_MISTAKE = 2
TIMEOUT_SECONDS = 1800.0
"""A process that waits this long for the others (`timeout_seconds` in the plan's `[machine]`) takes them for hung."""


def register(app: typer.Typer) -> None:
    app.command("train")(train)


def train(
    file: Path = typer.Argument(..., help="A plan, as `isoflop plan --out` writes it or as in docs/train.md."),
    out: Path = typer.Option(Path("trained"), "--out", help="The folder for everything that comes out."),
    corpus: list[str] = typer.Option(None, "--corpus", help="Text to train on, instead of the plan's; repeatable."),
    seed: int = typer.Option(None, "--seed", help="Seed of data order and first weights, instead of the plan's."),
    threads: int = typer.Option(
        None, "--threads", help="Threads to compute on; without it all cores, or one for a small model."
    ),
    device: str = typer.Option("cpu", "--device", help="cpu or cuda."),
    nproc: int = typer.Option(1, "--nproc", help="Processes to divide the training over; see docs/parallel.md."),
    restarts: int = typer.Option(3, "--restarts", help="How often to start again when one of them dies."),
) -> None:
    """Train one model from a plan, measure it, save it.

    Run the same command again to go on with an interrupted training.
    """
    from isoflop.training import layout_of, pretrain, read_plan

    plan = read_plan(file)
    if corpus:
        plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, corpus=tuple(corpus)))
    if seed is not None:
        plan = dataclasses.replace(plan, train=dataclasses.replace(plan.train, seed=seed))
    if threads is not None and threads < 1:
        raise UserError(f"--threads must be at least 1, not {threads}.")
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise UserError(f"--device is {device!r}: choose cpu or cuda.")
    if nproc < 1 or restarts < 0:
        raise UserError("--nproc must be at least 1, and --restarts not below 0.")
    if is_launched():
        raise typer.Exit(_one_of_many(plan, out, device))
    if nproc > 1:
        layout_of(plan, nproc)
        raise typer.Exit(launch(without(sys.argv[1:], ("--nproc", "--restarts")), processes=nproc, restarts=restarts))
    with _watchdog(plan, out) as watch:
        run = _run(pretrain(plan, out, threads=threads or _threads(plan), device=device, watch=watch))
    code = _conclude(run, plan, out)
    if code:
        raise typer.Exit(code)


def _conclude(run: Run, plan: Plan, out: Path) -> int:
    print(_sentence(run, plan))
    if run.status == "diverged":
        return DIVERGED
    for name in ("model", "run.json", "curve.jsonl", "validation.jsonl"):
        print(f"  {out / name}")
    return 0


def _one_of_many(plan: Plan, out: Path, device: str) -> int:
    """Train as one of the processes that torch's launcher started; only the first speaks. Returns the exit code."""
    from isoflop.parallel import processes
    from isoflop.training import pretrain_divided, record_flights

    first, code = os.environ["RANK"] == "0", 0
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    record_flights()
    patience = plan.machine.get("timeout_seconds", TIMEOUT_SECONDS)
    try:
        with processes(device=device, timeout_seconds=patience), _watchdog(plan, out) as watch:
            run = _run(pretrain_divided(plan, out, device=device, watch=watch), shown=first)
            code = _conclude(run, plan, out) if first else 0
    except UserError as error:
        if tell(USER_MISTAKE, str(error)):
            return 0
        if first:
            raise
        return USER_MISTAKE
    return 0 if tell(code) else code


def _watchdog(plan: Plan, out: Path) -> Watchdog:
    from isoflop.training.watchdog import LEAST_SECONDS, Watchdog

    least = plan.machine.get("stall_seconds", LEAST_SECONDS)
    return Watchdog(out.resolve() / "beats", least_seconds=least, rank=int(os.environ.get("RANK", "0")))


def _run(events: Iterator[Event], *, shown: bool = True) -> Run:
    from isoflop.cli.train_display import TrainDisplay
    from isoflop.runs import Run

    run = None
    with TrainDisplay() if shown else nullcontext() as display:
        for event in events:  # to its end, where it clears up
            if isinstance(event, Run):
                run = event
            elif display is not None:
                display.listen(event)
    assert run is not None
    return run


def _sentence(run: Run, plan: Plan) -> str:
    """The result as one line of text."""
    size = f"{run.param_counts['total']:,} parameters, {run.tokens:,} tokens"
    if run.loss is None:
        return f"Diverged: {run.note} ({size}). The curve so far is kept; a lower train.learning_rate may help."
    per = "token" if plan.train.objective.startswith("causal") else "predicted token"
    bits = f", {run.bits_per_byte:.3f} bits per byte" if plan.train.objective.startswith("causal") else ""
    note = f"; {run.note}" if run.note else ""
    speed = f"{run.tokens_per_second:,.0f} tokens/s"
    return f"Validation loss {run.loss:.4f} ± {run.loss_se:.4f} nats per {per}{bits} ({size}, {speed}){note}."


def _threads(plan: Plan) -> int:
    from isoflop.shapes import train_flops_per_token
    from isoflop.training.processor import threads_for

    return threads_for(train_flops_per_token(plan.shape) * plan.train.batch_tokens, _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
