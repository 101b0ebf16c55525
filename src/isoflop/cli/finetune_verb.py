"""`isoflop finetune`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from isoflop.cli.few_labels_options import AUGMENT, CONFIDENCE, PSEUDO_LABEL, FewLabels
from isoflop.cli.task_settings import task_settings
from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.adaptation import Result, Split
    from isoflop.evaluation.scores import TaskScores

DIVERGED = 1
MOST_LABELS = 12
"""A confusion matrix of more labels fits no screen; metrics.json has it."""


def register(app: typer.Typer) -> None:
    app.command("finetune")(finetune_verb)


def finetune_verb(
    model: Path = typer.Argument(
        ..., help="A model of isoflop or Hugging Face (a folder or a Hub name), or a TOML file with a [shape]."
    ),
    data: Path = typer.Argument(
        ..., help="What to train on: CSV, TSV, JSONL (also .gz), Parquet, CoNLL, datasets:NAME."
    ),
    dev: Path = typer.Option(None, "--dev", help="A table to measure on after every epoch."),
    test: Path = typer.Option(None, "--test", help="A table to measure on at the end."),
    task: str = typer.Option(
        "classify", "--task", help="classify, multilabel, pairs, tokens, qa, seq2seq, generate, chat, embed or cloze."
    ),
    option: list[str] = typer.Option([], "--option", help="A setting of the task, NAME=VALUE; can be repeated."),
    text: str = typer.Option(None, "--text", help="The column of the text, where the guess is wrong."),
    label: str = typer.Option(None, "--label", help="The column of the label, where the guess is wrong."),
    out: Path = typer.Option(Path("finetuned"), "--out", help="The folder for everything that comes out."),
    method: str = typer.Option(
        "full", "--method", help="What is trained: full, head, lora, dora, prefix, prompt or p-tuning."
    ),
    rank: int = typer.Option(None, "--rank", help="The rank of lora and dora; 8 without it."),
    targets: str = typer.Option("", "--targets", help="Their layers of qkv,out,up,down; qkv,out without it."),
    prompt_length: int = typer.Option(None, "--prompt-length", help="Vectors of prefix, prompt, p-tuning; else 20."),
    lr: float = typer.Option(None, "--lr", help="Peak learning rate; the method's usual one without it."),
    batch: int = typer.Option(32, "--batch", help="Texts in a batch."),
    epochs: int = typer.Option(3, "--epochs", help="How often each text is seen."),
    max_length: int = typer.Option(None, "--max-length", help="Longest text in tokens; else the model's context."),
    long: str = typer.Option(
        None, "--long", help="Long text: head, tail, both, segments, hierarchical, window, strided"
    ),
    pooling: str = typer.Option(None, "--pooling", help="mean, first, last or pooler; encoders mean, decoders last."),
    precision: str = typer.Option("auto", "--precision", help="auto, fp32 or bf16."),
    accumulate: int = typer.Option(1, "--accumulate", help="Parts in which a batch is computed, to need less memory."),
    layer_decay: float = typer.Option(1.0, "--layer-decay", help="A layer's rate as a share of that of the one above."),
    unfreeze: int = typer.Option(None, "--unfreeze", help="Blocks, from the top, that each further epoch trains too."),
    patience: int = typer.Option(None, "--patience", help="End after epochs without a better dev; keep the best."),
    label_smoothing: float = typer.Option(0.0, "--label-smoothing", help="Share of an answer given to all labels."),
    focal: float = typer.Option(0.0, "--focal", help="The focal loss's exponent; 0 is cross-entropy."),
    class_weights: str = typer.Option("", "--class-weights", help="Weights in the loss: balanced, or LABEL=WEIGHT,…"),
    joint_alpha: str = typer.Option("", "--joint-alpha", help="Pretrain too: its loss + α · the task's; α or FROM:TO."),
    joint_text: Path = typer.Option(None, "--joint-text", help="The text for that, by lines; the task's without it."),
    seed: int = typer.Option(0, "--seed", help="Seed of the head, the order of texts, and dropout."),
    seeds: str = typer.Option("", "--seeds", help="Several seeds, as in 0,1,2: each in a folder, and their spread."),
    folds: int = typer.Option(0, "--folds", help="Cross-validate on so many parts of train, and tell the spread."),
    augment: list[str] = AUGMENT,
    pseudo_label: Path = PSEUDO_LABEL,
    confidence: float = CONFIDENCE,
    threads: int = typer.Option(None, "--threads", help="Threads to compute on; all cores without it."),
    device: str = typer.Option("cpu", "--device", help="cpu or cuda."),
) -> None:
    """Fine-tune a pretrained model on examples of a task, measure it beside a simple floor, save it.

    Run the same command again to go on with an interrupted fine-tuning.
    """
    from isoflop.adaptation import AnswerLoss, Files, Machine, Recipe, method_named, task_named
    from isoflop.adaptation.joint import joint_in
    from isoflop.adaptation.losses import weights_in
    from isoflop.adaptation.scratch import first_model, is_shape

    machine = Machine(_threads(threads), device)
    wanted: dict[str, Any] = {"longest": max_length, "pooling": pooling, "precision": precision, "seed": seed}
    wanted |= {"accumulate": accumulate, "layer_decay": layer_decay, "unfreeze": unfreeze, "patience": patience}
    wanted |= {"loss": AnswerLoss(label_smoothing, focal, weights_in(class_weights))}
    wanted |= {"joint": joint_in(joint_alpha, joint_text)}
    wanted |= {"method": method_named(method, rank=rank, targets=_names(targets), length=prompt_length)}
    recipe = Recipe(learning_rate=lr, batch=batch, epochs=epochs, **wanted)
    settings = option if long is None else [*option, f"long={long}"]
    chosen = task_named(task, task_settings(settings, text, label))
    _check_there(model)
    split = chosen.read(Files.of(data, dev, test))
    _say_what_was_read(split)
    few = FewLabels(augment, pseudo_label, confidence)
    split = few.enlarged(split, seed)
    if is_shape(model):
        model = first_model(model, split, out / "start", seed=seed)
    how: dict[str, Any] = {"recipe": recipe, "machine": machine}
    if seeds or folds:
        _repeat(few, model, split, out, {"seed": seed, "seeds": seeds, "folds": folds, **how})
    else:
        _say_what_came_out(_run(few.events(model, split, out=out, **how), out), out)


def _check_there(model: Path) -> None:
    """So that a model that is nowhere is told before tables are read."""
    from isoflop.adaptation.hub import model_folder
    from isoflop.adaptation.scratch import is_shape

    if not is_shape(model):
        model_folder(model)


def _repeat(few: FewLabels, model: Path, split: Split, out: Path, how: dict[str, Any]) -> None:
    """Several fine-tunings, told in one table."""
    from isoflop.adaptation.repeats import finetune_repeatedly, plan_repeats
    from isoflop.cli.repeats_display import say_summary, seeds_in

    few.check_repeats(how["folds"])
    repeats = plan_repeats(split, seed=how.pop("seed"), seeds=seeds_in(how.pop("seeds")), folds=how.pop("folds"))
    events = finetune_repeatedly(model, repeats, out=out, **how)
    say_summary(_run(few.with_origins(events, split, out), out), out)


def _run(events: Iterator[Any], out: Path) -> Any:
    """Tell of each event; the last one is what came out."""
    from isoflop.adaptation import Diverged, EpochEnded, Ready, Stepped
    from isoflop.adaptation.repeats import Begun
    from isoflop.cli.repeats_display import say_begun
    from isoflop.cli.tables import progress_bar

    with progress_bar("fine-tuning") as tell:
        for event in events:
            if isinstance(event, Begun):
                say_begun(event)
            elif isinstance(event, Ready):
                share = f"{event.trained:,} of {event.params:,} weights ({event.trained / event.params:.1%})"
                begun = f", going on at step {event.begun:,}" if event.begun else ""
                print(f"Training {share} for {event.steps:,} steps{begun}; {event.how}", flush=True)
                for note in event.notes:
                    print(f"Note: {note}", flush=True)
            elif isinstance(event, Stepped):
                if tell:
                    tell(event.step / event.steps)
            elif isinstance(event, EpochEnded):
                print(f"  epoch {event.epoch}: dev {_told(event.scores)}", flush=True)
            elif isinstance(event, Diverged):
                print(f"Diverged: {event.reason}. The curve is in {out}; a lower --lr may help.")
                raise typer.Exit(DIVERGED)
    return event


def _told(scores: TaskScores) -> str:
    nats = "" if scores.nats is None else f", {scores.nats:.4f} nats"
    return f"{scores.main} {scores.figures[scores.main]:.4f}{nats}"


def _say_what_was_read(split: Split) -> None:
    *texts, answer = dataclasses.asdict(split.train.columns).values()
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in split.parts.items())
    some = ", ".join(split.labels[:6]) + (", …" if len(split.labels) > 6 else "")
    answers = f"{len(split.labels)} labels (column {answer!r}): {some}" if split.labels else f"answers in {answer!r}"
    columns = f"column{'s' if len(texts) > 1 else ''} {', '.join(map(repr, texts))}"
    print(f"{sizes} texts ({columns}), {answers}")


def _say_what_came_out(result: Result, out: Path) -> None:
    from isoflop.cli.tables import print_notes, print_table

    part, scores = list(result.scores.items())[-1]
    rows = []
    for name, one in result.scores.items():
        rows.append((name, *_figures(one)))
        if result.floor is not None:
            rows.append((f"{name}, floor", *_figures(result.floor.scores[name])))
    print_table("", ("", *scores.figures), rows)
    if scores.labels:
        print_table("", (part, "precision", "recall", "F1", "count"), _by_label(scores))
    names = [one.label for one in scores.labels]
    if scores.confusion and len(names) <= MOST_LABELS:
        confusion = [(name, *map(str, row)) for name, row in zip(names, scores.confusion, strict=True)]
        print_table("", (f"{part}: is \\ taken for", *names), confusion)
    floor = (f"The floor is {result.floor.description}.",) if result.floor else ()
    wording = ("Precision and recall are means over labels (macro); ECE is the calibration error.",)
    print_notes((*result.warnings, *_intervals(result), *floor, *(wording if "ECE" in scores.figures else ())))
    for name in ("model", "metrics.json", "run.json"):
        print(f"  {out / name}")


def _intervals(result: Result) -> Iterator[str]:
    """How sure the main figure of each part is; metrics.json has the intervals of the others."""
    for part, scores in result.scores.items():
        low, high = result.intervals.get(part, {}).get(scores.main, (None, None))
        if low is not None:
            yield f"{scores.main} on {part} is between {low:.4f} and {high:.4f} (95 % interval over its examples)."


def _figures(scores: TaskScores) -> tuple[str, ...]:
    return tuple(f"{one:.4f}" for one in scores.figures.values())


def _by_label(scores: TaskScores) -> list[tuple[str, ...]]:
    worst = sorted(scores.labels, key=lambda one: one.f1)
    shown = scores.labels if len(worst) <= MOST_LABELS else worst[:MOST_LABELS]
    return [
        (one.label, f"{one.precision:.4f}", f"{one.recall:.4f}", f"{one.f1:.4f}", str(one.support)) for one in shown
    ]


def _names(listed: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in listed.split(",") if part.strip())


def _threads(asked: int | None) -> int:
    if asked is not None and asked < 1:
        raise UserError(f"--threads must be at least 1, not {asked}.")
    return asked or _cores()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
