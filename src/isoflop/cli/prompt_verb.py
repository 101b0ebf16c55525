"""`isoflop prompt`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.adaptation import Split
    from isoflop.adaptation.few_labels import Prompt, Prompted

NAMES = {"none": "as it is", "context": "contextual", "batch": "batch"}


def register(app: typer.Typer) -> None:
    app.command("prompt")(prompt)


def prompt(
    model: Path = typer.Argument(..., help="A causal model: isoflop's, a Hugging Face checkpoint, or a GGUF file."),
    data: Path = typer.Argument(..., help="The table that shots are drawn from, and that the floor learns from."),
    dev: Path = typer.Option(None, "--dev", help="A table to measure on."),
    test: Path = typer.Option(None, "--test", help="A table to measure on."),
    text: str = typer.Option(None, "--text", help="The column of the text, where the guess is wrong."),
    label: str = typer.Option(None, "--label", help="The column of the label, where the guess is wrong."),
    template: str = typer.Option(
        "{text}\\n{label}", "--template", help="The prompt, with {text}, and {label} at its end; \\n is a line's end."
    ),
    verbalizer: str = typer.Option(
        None, "--verbalizer", help="Words of each label: 0=negative|bad,1=positive; the labels' names without it."
    ),
    shots: int = typer.Option(0, "--shots", help="Labelled texts in front of each prompt, balanced."),
    calibrate: str = typer.Option(
        "none", "--calibrate", help="Whose predictions are saved: none, context or batch; all are measured."
    ),
    normalize: bool = typer.Option(False, "--normalize", help="Divide a word's log-probability by its tokens."),
    precision: str = typer.Option("fp32", "--precision", help="fp32 or bf16."),
    seed: int = typer.Option(0, "--seed", help="Seed of the shots."),
    threads: int = typer.Option(None, "--threads", help="Threads to compute on; all cores without it."),
    out: Path = typer.Option(Path("prompted"), "--out", help="The folder for everything that comes out."),
) -> None:
    """Classify texts by prompt, without training: zero-shot, or with a few labelled texts in front.

    Measured as the model says it and calibrated, beside a simple floor that learns from the whole table.
    """
    import torch

    from isoflop.adaptation import read_split
    from isoflop.adaptation.few_labels import Prompt, read_causal, template_of, verbalizer_of

    if precision not in ("fp32", "bf16"):
        raise UserError(f"--precision is {precision!r}: choose fp32 or bf16.")
    if threads is not None and threads < 1:
        raise UserError(f"--threads must be at least 1, not {threads}.")
    split = read_split(data, dev=dev, test=test, text=text, label=label)
    how = Prompt(
        template=template_of(template),
        verbalizer=verbalizer_of(verbalizer, split.labels),
        shots=shots,
        calibration=calibrate,  # type: ignore[arg-type]
        normalized=normalize,
        seed=seed,
    )
    causal = read_causal(model, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    result = _run(causal, split, how, out=out, threads=threads)
    _say_what_came_out(result, split, how, out)


def _run(causal: Any, split: Split, how: Prompt, *, out: Path, threads: int | None) -> Prompted:
    from isoflop.adaptation.few_labels import prompt
    from isoflop.cli.finetune_verb import _cores
    from isoflop.cli.tables import progress_bar
    from isoflop.training.processor import processor_settings

    with processor_settings(threads or _cores()), progress_bar("prompting") as tell:
        return prompt(causal, split, how, out=out, tell=tell)


def _say_what_came_out(result: Prompted, split: Split, how: Prompt, out: Path) -> None:
    from isoflop.cli.tables import print_notes, print_table

    rows = []
    for part, by_calibration in result.scores.items():
        for name, scores in by_calibration.items():
            mark = " *" if name == how.calibration else ""
            rows.append((part, NAMES[name] + mark, *_figures(scores)))
        if result.floor is not None:
            rows.append((part, f"floor, {len(split.train):,} labels", *_figures(result.floor.scores[part])))
    print_table("", ("", f"{how.shots} shots", "accuracy", "F1 macro", "ECE", "nats"), rows)
    floor = (f"The floor is {result.floor.description}.",) if result.floor else ()
    print_notes(
        (
            *result.notes,
            *floor,
            "Contextual: divided by what the prompt says of texts that say nothing; batch: by its mean over the part.",
            "* saved as predictions. ECE is the calibration error, nats the loss per label.",
        )
    )
    for file in (*(f"predictions-{part}.csv" for part in result.scores), "metrics.json", "prompt.json"):
        print(f"  {out / file}")


def _figures(scores: Any) -> tuple[str, ...]:
    figures = (scores.accuracy, scores.macro_f1, scores.calibration_error, scores.nats)
    return tuple(f"{one:.4f}" for one in figures)
