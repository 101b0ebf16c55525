"""`isoflop finetune`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.adaptation import Result, Split
    from isoflop.evaluation.classification import Scores

DIVERGED = 1
MOST_LABELS = 12
"""A confusion matrix of more labels fits no screen; metrics.json has it."""


def register(app: typer.Typer) -> None:
    app.command("finetune")(finetune)


def finetune(
    model: Path = typer.Argument(..., help="A trained model of isoflop, or a local Hugging Face checkpoint."),
    data: Path = typer.Argument(..., help="The table to train on: CSV, TSV, JSONL (also gzipped) or Parquet."),
    dev: Path = typer.Option(None, "--dev", help="A table to measure on after every epoch."),
    test: Path = typer.Option(None, "--test", help="A table to measure on at the end."),
    task: str = typer.Option("classify", "--task", help="classify: one label for each text."),
    text: str = typer.Option(None, "--text", help="The column of the text, where the guess is wrong."),
    label: str = typer.Option(None, "--label", help="The column of the label, where the guess is wrong."),
    out: Path = typer.Option(Path("finetuned"), "--out", help="The folder for everything that comes out."),
    method: str = typer.Option(
        "full", "--method", help="What is trained: full, head, lora, dora, prefix, prompt or p-tuning."
    ),
    rank: int = typer.Option(None, "--rank", help="The rank of lora and dora; 8 without it."),
    targets: str = typer.Option("", "--targets", help="Their layers of qkv,out,up,down; qkv,out without it."),
    prompt_length: int = typer.Option(
        None, "--prompt-length", help="Vectors of prefix, prompt and p-tuning; 20 without it."
    ),
    lr: float = typer.Option(None, "--lr", help="Peak learning rate; the method's usual one without it."),
    batch: int = typer.Option(32, "--batch", help="Texts in a batch."),
    epochs: int = typer.Option(3, "--epochs", help="How often each text is seen."),
    max_length: int = typer.Option(
        None, "--max-length", help="Longest text in tokens; the model's context without it."
    ),
    pooling: str = typer.Option(
        None, "--pooling", help="mean, first or last token; an encoder's mean, a decoder's last."
    ),
    precision: str = typer.Option("auto", "--precision", help="auto, fp32 or bf16."),
    seed: int = typer.Option(0, "--seed", help="Seed of the head, the order of texts, and dropout."),
    threads: int = typer.Option(None, "--threads", help="Threads to compute on; all cores without it."),
    device: str = typer.Option("cpu", "--device", help="cpu or cuda."),
) -> None:
    """Fine-tune a pretrained model on a table of texts and labels, measure it beside a simple floor, save it.

    Run the same command again to go on with an interrupted fine-tuning.
    """
    from isoflop.adaptation import Machine, Recipe, method_named, read_split

    if task != "classify":
        raise UserError(f"--task is {task!r}: classify is the only one there is.")
    if threads is not None and threads < 1:
        raise UserError(f"--threads must be at least 1, not {threads}.")
    layers = tuple(part.strip() for part in targets.split(",") if part.strip())
    wanted: dict[str, Any] = {"longest": max_length, "pooling": pooling, "precision": precision, "seed": seed}
    chosen = method_named(method, rank=rank, targets=layers, length=prompt_length)
    recipe = Recipe(method=chosen, learning_rate=lr, batch=batch, epochs=epochs, **wanted)
    split = read_split(data, dev=dev, test=test, text=text, label=label)
    _say_what_was_read(split)
    result = _run(model, split, out, {"recipe": recipe, "machine": Machine(threads or _cores(), device)})
    _say_what_came_out(result, out)


def _run(model: Path, split: Split, out: Path, how: dict[str, Any]) -> Result:
    from isoflop.adaptation import Diverged, EpochEnded, Ready, Result, Stepped, finetune
    from isoflop.cli.tables import progress_bar

    with progress_bar("fine-tuning") as tell:
        for event in finetune(model, split, out=out, **how):
            if isinstance(event, Ready):
                share = f"{event.trained:,} of {event.params:,} weights ({event.trained / event.params:.1%})"
                begun = f", going on at step {event.begun:,}" if event.begun else ""
                print(f"Training {share} for {event.steps:,} steps{begun}; {event.how}", flush=True)
                for note in event.notes:
                    print(f"Note: {note}", flush=True)
            elif isinstance(event, Stepped):
                if tell:
                    tell(event.step / event.steps)
            elif isinstance(event, EpochEnded):
                print(f"  epoch {event.epoch}: dev accuracy {event.accuracy:.4f}, {event.nats:.4f} nats", flush=True)
            elif isinstance(event, Diverged):
                print(f"Diverged: {event.reason}. The curve is in {out}; a lower --lr may help.")
                raise typer.Exit(DIVERGED)
            elif isinstance(event, Result):
                return event
    raise AssertionError("a fine-tuning ends with its result")


def _say_what_was_read(split: Split) -> None:
    columns = split.train.columns
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in split.parts.items())
    some = ", ".join(split.labels[:6]) + (", …" if len(split.labels) > 6 else "")
    print(f"{sizes} texts (column {columns.text!r}), {len(split.labels)} labels (column {columns.label!r}): {some}")


def _say_what_came_out(result: Result, out: Path) -> None:
    from isoflop.cli.tables import print_notes, print_table

    head = ("", "accuracy", "precision", "recall", "F1 macro", "F1 micro", "ECE")
    rows = []
    for part, scores in result.scores.items():
        rows.append((part, *_figures(scores)))
        if result.floor is not None:
            rows.append((f"{part}, floor", *_figures(result.floor.scores[part])))
    print_table("", head, rows)
    part, scores = list(result.scores.items())[-1]
    names = [one.label for one in scores.labels]
    print_table("", (part, "precision", "recall", "F1", "texts"), _by_label(scores))
    if len(names) <= MOST_LABELS:
        confusion = [(name, *map(str, row)) for name, row in zip(names, scores.confusion, strict=True)]
        print_table("", (f"{part}: is \\ taken for", *names), confusion)
    floor = (f"The floor is {result.floor.description}.",) if result.floor else ()
    print_notes(
        (*result.warnings, *floor, "Precision and recall are means over labels (macro); ECE is the calibration error.")
    )
    for name in ("model", "metrics.json", "run.json"):
        print(f"  {out / name}")


def _figures(scores: Scores) -> tuple[str, ...]:
    macro = (scores.macro_precision, scores.macro_recall, scores.macro_f1)
    return tuple(f"{one:.4f}" for one in (scores.accuracy, *macro, scores.micro_f1, scores.calibration_error))


def _by_label(scores: Scores) -> list[tuple[str, ...]]:
    worst = sorted(scores.labels, key=lambda one: one.f1)
    shown = scores.labels if len(worst) <= MOST_LABELS else worst[:MOST_LABELS]
    return [
        (one.label, f"{one.precision:.4f}", f"{one.recall:.4f}", f"{one.f1:.4f}", str(one.support)) for one in shown
    ]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
