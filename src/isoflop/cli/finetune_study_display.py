"""`isoflop study FILE` where the file's kind is finetune: what a person sees of it."""

from __future__ import annotations

import dataclasses
import textwrap
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.progress import TimeRemainingColumn as Remaining
from rich.table import Table

from isoflop.settings import read_toml

if TYPE_CHECKING:
    from isoflop.study.finetune import FinetuneStudyConfig
    from isoflop.study.finetune.study import Event

FILES = ("report.html", "cells.csv", "verdict.json", "fits.json", "prediction.json", "runs")


def study_of_finetunings(file: Path, out: Path, *, seed: int | None, dry_run: bool, on: str) -> None:
    """Run the study, or with `dry_run` print its cells."""
    from isoflop.study.finetune import finetune_config, run_finetune_study

    config = finetune_config(read_toml(file, what="study file"), path=file)
    if seed is not None:
        config = dataclasses.replace(config, seed=seed)
    if dry_run:
        _dry_run(config)
        return
    with _Display(config.data.judged) as display:
        verdict = run_finetune_study(config, out, listen=display.listen, on=on)
    _say(verdict)
    for name in FILES:
        print(f"  {out / name}")


class _Display(AbstractContextManager["_Display"]):
    """A line for each measured cell, and one bar for all that are under way."""

    def __init__(self, judged: str) -> None:
        self.judged, self.shares = judged, dict[str, float]()
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), Elapsed(),
            Remaining(), console=Console(highlight=False),
        )  # fmt: skip
        self.bar: TaskID | None = None

    def __enter__(self) -> Self:
        self.progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.__exit__(kind, error, trace)

    def listen(self, event: Event) -> None:
        """Show one event."""
        from isoflop.study.finetune.study import CellsBegin, Measured, Moved

        if isinstance(event, CellsBegin):
            if self.bar is not None:
                self.progress.remove_task(self.bar)
            self.shares = {}
            self.bar = self.progress.add_task("fine-tunings", total=len(event.cells))
            self.progress.print(f"[bold]{len(event.cells)} fine-tunings on {event.name}[/bold]")
        elif isinstance(event, Moved):
            self._moved(event.cell, event.share)
        elif isinstance(event, Measured):
            self._moved(event.cell.name, 1.0)
            if event.row is None:
                self.progress.print(f"  {event.cell.name}: diverged, left out of the laws", style="yellow")
                return
            floor = event.row["floor_error"]
            beside = "" if floor is None else f", floor {1 - floor:.4f}"
            self.progress.print(f"  {event.cell.name}: {self.judged} {1 - event.row['error']:.4f}{beside}")
        else:
            self.progress.print(f"  {event.text}")

    def _moved(self, cell: str, share: float) -> None:
        assert self.bar is not None
        self.shares[cell] = share
        self.progress.update(self.bar, completed=round(sum(self.shares.values()), 2))


def _say(verdict: dict[str, Any]) -> None:
    labels = verdict["labels"]
    console = Console()
    table = Table(
        "model", "method", "predicted", "measured", "", title=f"Accuracy on {verdict['judged']} at {labels:,} labels"
    )
    for cell in verdict["predicted"]:
        predicted = f"{1 - cell['value']:.3f} [{1 - cell['high']:.3f}, {1 - cell['low']:.3f}]"
        measured = "none" if cell["measured"] is None else f"{1 - cell['measured']:.3f}"
        held = {None: "", True: "inside", False: "outside"}[cell["inside"]]
        table.add_row(cell["model"], cell["method"], predicted, measured, held)
    if verdict["predicted"]:
        console.print(table)
    print(f"{verdict['inside']} of {verdict['compared']} predictions held.")
    print(f"One point of accuracy more than at {labels:,} labels costs:")
    for answer in verdict["answers"]:
        name = answer["method"] if answer["method"] == answer["model"] else f"{answer['model']}, {answer['method']}"
        _print_indented(f"{name}: {answer['sentence']}", console.width)
    print("Label more or pretrain more?")
    for trade in verdict["trade"]:
        for sentence in trade["sentences"]:
            _print_indented(f"{trade['method']}: {sentence}", console.width)


def _print_indented(text: str, width: int) -> None:
    print(textwrap.fill(text, width, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False))


def _dry_run(config: FinetuneStudyConfig) -> None:
    from isoflop.study.finetune.study import design

    laid_out, axes = design(config), config.axes
    table = Table("labels", "steps", "fine-tunings")
    each = len(laid_out.models) * len(axes.methods) * axes.seeds
    texts = 0
    for size in laid_out.sizes:
        recipe = config.recipe.recipe(axes.methods[0], labels=size, seed=0)
        table.add_row(f"{size:,}", f"{-(-size // recipe.batch) * recipe.epochs:,}", str(each))
        texts += each * recipe.epochs * size
    Console().print(table)
    seeds = f"{axes.seeds} seed{'' if axes.seeds == 1 else 's'}"
    models = ", ".join(model.name for model in laid_out.models)
    print(
        f"{each * len(laid_out.sizes)} fine-tunings ({models}; {', '.join(axes.methods)}; {seeds}), "
        f"{texts:,} texts read in training."
    )
