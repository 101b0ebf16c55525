"""`isoflop train`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.runs import Run
    from isoflop.training import Plan

DIVERGED = 1


def register(app: typer.Typer) -> None:
    app.command("train")(train)


def train(
    file: Path = typer.Argument(..., help="A plan, as `isoflop plan --out` writes it or as in docs/train.md."),
    out: Path = typer.Option(Path("trained"), "--out", help="The folder for everything that comes out."),
    corpus: list[str] = typer.Option(None, "--corpus", help="Text to train on, instead of the plan's; repeatable."),
    seed: int = typer.Option(None, "--seed", help="Seed of data order and first weights, instead of the plan's."),
    threads: int = typer.Option(None, "--threads", help="Threads to compute on; all cores without it."),
    device: str = typer.Option("cpu", "--device", help="cpu or cuda."),
) -> None:
    """Train one model from a plan, measure it, save it.

    Run the same command again to go on with an interrupted training.
    """
    from isoflop.training import read_plan

    plan = read_plan(file)
    if corpus:
        plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, corpus=tuple(corpus)))
    if seed is not None:
        plan = dataclasses.replace(plan, train=dataclasses.replace(plan.train, seed=seed))
    if threads is not None and threads < 1:
        raise UserError(f"--threads must be at least 1, not {threads}.")
    run = _run(plan, out, threads=threads or _cores(), device=device)
    print(_sentence(run, plan))
    if run.status == "diverged":
        raise typer.Exit(DIVERGED)
    for name in ("model", "run.json", "curve.jsonl", "validation.jsonl"):
        print(f"  {out / name}")


def _run(plan: Plan, out: Path, *, threads: int, device: str) -> Run:
    from isoflop.cli.train_display import TrainDisplay
    from isoflop.runs import Run
    from isoflop.training import pretrain

    with TrainDisplay() as display:
        for event in pretrain(plan, out, threads=threads, device=device):
            if isinstance(event, Run):
                return event
            display.listen(event)
    raise AssertionError("a training ends with its record")


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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
