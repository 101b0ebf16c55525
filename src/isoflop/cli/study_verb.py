"""`isoflop study`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.study import StudyConfig


def register(app: typer.Typer) -> None:
    app.command("study")(study)


def study(
    file: Path = typer.Argument(None, help="A study file; without one, the default study."),
    out: str = typer.Option("study", "--out", help="The folder for everything that comes out, or s3://BUCKET/FOLDER."),
    seed: int = typer.Option(
        None, "--seed", min=0, help="Seed of data order and first weights, instead of the file's."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the ladder, its cost and its time; train nothing."),
    on: str = typer.Option("local", "--on", help="Where its runs train: local, slurm, ray, or ray://HOST:PORT."),
    init: Path = typer.Option(None, "--init", help="Write a commented study file here and leave."),
    kind: str = typer.Option(None, "--kind", help="With --init: pretrain or finetune; pretrain without it."),
) -> None:
    """Train a ladder of small models, fit the law, predict a bigger one, train it, and compare.

    With kind = "finetune" in its file: fine-tune models on more and more labels, and say what the next point costs.

    Run the same command again to go on with an interrupted study.
    """
    if init is not None:
        if file is not None:
            raise UserError(f"--init writes a new study file and leaves {file} unread: give one of the two.")
        _write_template(init, kind)
        return
    if kind is not None:
        raise UserError("--kind is for --init; a study's file says its kind: --init FILE --kind KIND writes one.")
    from isoflop.executors import is_url
    from isoflop.study.config import FINETUNE, StudyConfig, kind_of, read_config

    if file is not None and kind_of(file) == FINETUNE:
        from isoflop.cli.finetune_study_display import study_of_finetunings

        if is_url(out):
            raise UserError(f"A study of fine-tunings needs --out in a folder, not {out}.")
        study_of_finetunings(file, Path(out), seed=seed, dry_run=dry_run, on=on)
        return
    config = StudyConfig() if file is None else read_config(file)
    if seed is not None:
        config = dataclasses.replace(config, seed=seed)
    if dry_run:
        _dry_run(config)
    else:
        _run(config, out, on)


def _run(config: StudyConfig, out: str, on: str) -> None:
    from isoflop.cli.study_display import StudyDisplay
    from isoflop.study import run_study

    with StudyDisplay() as display:
        verdict = run_study(config, out, listen=display.listen, on=on)
    print(verdict_sentence(verdict))
    for name in ("report.html", "verdict.json", "fit.json", "prediction.json", "plan.toml", "runs"):
        print(f"  {out.rstrip('/')}/{name}")


def verdict_sentence(verdict: dict[str, Any]) -> str:
    """The verdict as one line of text."""
    predicted, measured = verdict["predicted"], verdict["measured"]
    promised = f"Predicted {predicted['value']:.3f} [{predicted['low']:.3f}, {predicted['high']:.3f}]"
    took = f"{verdict['seconds'] / 60:.1f} minutes"
    if measured is None:
        return f"{promised}; the target diverged, so there is nothing to compare with. {took}."
    side = "inside" if verdict["inside"] else "outside"
    return (
        f"{promised}, measured {measured:.3f}: {side} the {100 * predicted['level']:.0f} % interval, "
        f"{abs(verdict['error_percent']):.2f} % off. {took}."
    )


def _dry_run(config: StudyConfig) -> None:
    from rich.console import Console
    from rich.table import Table

    from isoflop.study import prepare

    ready = prepare(config, listen=print)
    ladder = ready.ladder
    table = Table("role", "width", "N (params)", "D (tokens)", "C = 6ND of each (FLOPs)", "seeds")
    for role, rungs in (("sweep", [ladder.sweep]), ("rung", ladder.rungs), ("target", [ladder.target])):
        for rung in rungs:
            tokens = " / ".join(f"{ladder.tokens(steps):,}" for steps in rung.steps)
            flops = " / ".join(f"{one:.2e}" for one in ladder.run_flops(rung))
            seeds = f"{len(ladder.rates)} rates" if role == "sweep" else str(rung.replicates)
            table.add_row(role, str(rung.shape.width), f"{rung.params:,}", tokens, flops, seeds)
    Console().print(table)
    print(
        f"ladder {ladder.ladder_flops:.2e} FLOPs, target {ladder.cost(ladder.target):.2e}, "
        f"together {ladder.total_flops:.2e}; the largest rung {ladder.largest_flops:.2e}. "
        f"About {ready.seconds / 60:.1f} minutes of training on this machine."
    )


def _write_template(path: Path, kind: str | None) -> None:
    from isoflop.files import write_text
    from isoflop.study.config import FINETUNE, PRETRAIN, study_template
    from isoflop.study.finetune import finetune_template

    templates = {PRETRAIN: study_template, FINETUNE: finetune_template}
    kind = kind or PRETRAIN
    if kind not in templates:
        raise UserError(f"--kind is {kind!r}: choose {PRETRAIN} or {FINETUNE}.")
    if path.exists():
        raise UserError(f"{path} exists already: choose another name for --init.")
    write_text(path, templates[kind]())
    print(f"Wrote {path}. Run it with: isoflop study {path}")
