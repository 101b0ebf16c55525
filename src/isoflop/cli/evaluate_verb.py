"""`isoflop evaluate MODEL DATA…`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.evaluation.evaluated import Evaluated, Figure
    from isoflop.evaluation.intervals import Interval

LEAST_P = 0.0001


def register(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)


def evaluate(
    model: Path = typer.Argument(..., help="A model of isoflop, a Hugging Face checkpoint, or a GGUF file."),
    data: list[str] = typer.Argument(
        None, metavar="DATA…", help="Files or folders of text; for a fine-tuned model its task's table."
    ),
    against: Path = typer.Option(None, "--against", help="Another model, to be compared on the same data."),
    column: str = typer.Option("text", "--column", help="The column of the text in JSONL and Parquet files."),
    max_bytes: int = typer.Option(None, "--max-bytes", help="Measure the first so many bytes of text only."),
    window: int = typer.Option(None, "--window", help="Tokens read at once; the model's context, at most 2,048."),
    stride: int = typer.Option(None, "--stride", help="Tokens from one window to the next; half a window."),
    level: float = typer.Option(0.95, "--level", help="How often an interval should hold the truth."),
    draws: int = typer.Option(5_000, "--draws", help="Draws of the bootstrap and of the test."),
    option: list[str] = typer.Option([], "--option", help="A fine-tuned model's column, NAME=VALUE, as in finetune."),
    calibrate: Path = typer.Option(
        None, "--calibrate", metavar="DEV", help="Fit a classifier's temperature on this table, and keep it."
    ),
    seed: int = typer.Option(0, "--seed", help="Seed of the draws, and of an encoder's masks."),
    harness: str = typer.Option(None, "--harness", metavar="TASK,…", help="Tasks of lm-evaluation-harness instead."),
    harness_tasks: Path = typer.Option(None, "--harness-tasks", metavar="DIR", help="A folder of tasks as YAML."),
    limit: int = typer.Option(None, "--limit", help="The most examples of each task of the harness."),
    out: Path = typer.Option(None, "--out", metavar="DIR", help="A folder for evaluation.json."),
) -> None:
    """Measure a language model on text, or a fine-tuned model on a table, each figure with its interval."""
    from isoflop.adaptation.examination import is_adapted
    from isoflop.evaluation.intervals import Resampling

    resampling = Resampling(level, draws, seed)
    if harness is not None:
        if data:
            raise UserError("The tasks of --harness bring their own data: name no DATA beside it.")
        which: dict[str, Any] = {"folder": harness_tasks, "limit": limit, "resampling": resampling}
        _finish(_on_harness(model, harness, against, which), out)
        return
    if not data:
        raise UserError("There is nothing to measure on: name files or folders of text behind the model.")
    if calibrate is not None:
        if against is not None or len(data) != 1 or not is_adapted(model):
            raise UserError("--calibrate takes one fine-tuned classifier and one table to measure it on.")
        found = _calibrated(model, Path(data[0]), calibrate, {"option": option, "resampling": resampling})
    elif is_adapted(model):
        found = _on_table(model, data, against, {"option": option, "resampling": resampling, "out": out})
    else:
        reading = {"window": window, "stride": stride, "mask_seed": seed}
        which = {"column": column, "most_bytes": max_bytes}
        found = _on_text(model, data, against, {"which": which, "reading": reading, "resampling": resampling})
    _finish(found, out)


def _finish(found: Evaluated, out: Path | None) -> None:
    show(found)
    if out is not None:
        print(f"  {found.write(out)}")


def _on_harness(model: Path, harness: str, against: Path | None, how: dict[str, Any]) -> Evaluated:
    from isoflop.evaluation.harness import evaluate_harness

    tasks = [one.strip() for one in harness.split(",") if one.strip()]
    if not tasks:
        raise UserError("--harness names no task.")
    return evaluate_harness(model, tasks, against=against, **how)


def _on_table(model: Path, data: list[str], against: Path | None, how: dict[str, Any]) -> Evaluated:
    from isoflop.adaptation.examination import evaluate_task, write_predictions
    from isoflop.cli.task_settings import task_settings

    if len(data) != 1:
        raise UserError(f"A fine-tuned model is measured on one table, and {len(data)} files came.")
    settings = task_settings(how["option"], None, None)
    found, measured = evaluate_task(
        model, Path(data[0]), against=against, settings=settings, resampling=how["resampling"]
    )
    print(f"{found.data['examples']:,} examples, {found.kind}")
    if how["out"] is not None:
        for one, name in zip(measured, ("predictions.csv", "predictions-against.csv"), strict=False):
            write_predictions(one, how["out"] / name)
            print(f"  {how['out'] / name}")
    return found


def _calibrated(model: Path, table: Path, dev: Path, how: dict[str, Any]) -> Evaluated:
    from isoflop.adaptation.calibrated import evaluate_calibration, keep
    from isoflop.cli.tables import print_table
    from isoflop.cli.task_settings import task_settings

    settings = task_settings(how["option"], None, None)
    found = evaluate_calibration(model, table, dev=dev, settings=settings, resampling=how["resampling"])
    for name, bins in (("as it is", found.before), (f"T = {found.temperature:.3f}", found.after)):
        rows = [
            (f"{one.low:.2f} – {one.high:.2f}", str(one.examples), f"{one.confidence:.4f}", f"{one.accuracy:.4f}")
            for one in bins
        ]
        print_table("", (name, "examples", "confidence", "accuracy"), rows)
    kept = keep(model, found)
    note = f"predict-text and evaluate divide the logits by T from now on: {kept} says so, and without it they don't."
    return replace(found.evaluated, notes=(*found.evaluated.notes, note))


def _on_text(model: Path, data: list[str], against: Path | None, how: dict[str, Any]) -> Evaluated:
    from isoflop.cli.tables import progress_bar
    from isoflop.evaluation.evaluate_text import evaluate_text
    from isoflop.evaluation.perplexity import Reading
    from isoflop.evaluation.texts import read_texts
    from isoflop.report.wording import plural

    texts = read_texts(data, **how["which"])
    print(f"{plural(len(texts.documents), 'text')}, {texts.bytes:,} bytes", flush=True)
    with progress_bar("measuring") as tell:
        return evaluate_text(
            model, texts, against=against, reading=Reading(**how["reading"]), resampling=how["resampling"], tell=tell
        )


def show(found: Evaluated) -> None:
    """Print the table of figures, who was measured, and the notes."""
    from isoflop.cli.tables import print_notes, print_table

    names = _names(found)
    level = f"{found.resampling.level:.0%} interval"
    if len(names) == 1:
        rows = [[one.name, *_cells(one.of[0])] for one in found.figures]
        print_table("", ["", names[0], level], rows)
    else:
        rows = [row for one in found.figures for row in _compared(one, names)]
        print_table("", ["", "", "value", level, "p"], rows)
    over = {f"{one.examples:,} {one.unit}" for one in found.figures if one.examples is not None}
    tests = {one.comparison.test for one in found.figures if one.comparison is not None}
    notes = [f"{name}: {_described(one)}" for name, one in zip(names, found.models, strict=True)]
    if over:
        notes.append(f"Intervals: bootstrap (BCa, {found.resampling.draws:,} draws) over {', '.join(sorted(over))}.")
    if tests:
        notes.append(f"p: two-sided, by {' and '.join(sorted(tests))}.")
    print_notes([*notes, *found.notes])


def _names(found: Evaluated) -> list[str]:
    """What to call the models: their folders' names, or that of the folder around one called `model`."""
    if all("name" in one for one in found.models):
        return [one["name"] for one in found.models]
    paths = [Path(one["path"]) for one in found.models]
    names = [path.parent.name if path.name == "model" else path.name for path in paths]
    return names if len(set(names)) == len(names) else ["model", "against"]


def _compared(figure: Figure, names: list[str]) -> list[list[str]]:
    """A row of each model, and one of their difference where that can be tested."""
    rows = [[figure.name if at == 0 else "", name, *_cells(figure.of[at]), ""] for at, name in enumerate(names)]
    if figure.comparison is not None:
        p = figure.comparison.p_value
        cells = _cells(figure.comparison.difference, sign="+")
        rows.append(["", "difference", *cells, f"<{LEAST_P:g}" if p < LEAST_P else f"{p:.4f}"])
    return rows


def _cells(one: Interval, sign: str = "") -> list[str]:
    value = _number(one.value, sign)
    if one.low is None or one.high is None:
        return [value, ""]
    return [value, f"{_number(one.low, sign)} – {_number(one.high, sign)}"]


def _number(value: float, sign: str = "") -> str:
    return f"{value:{sign}.4f}" if abs(value) < 1_000 else f"{value:{sign},.1f}"


def _described(model: object) -> str:
    assert isinstance(model, dict)
    if "temperature" in model:
        return "the same, its logits divided by T."
    if "task" in model:
        return f"fine-tuned to {model['task']}, weights {model['weights_hash']}."
    said = f"{model['class']}, {model['params']:,} parameters" if "params" in model else str(model["class"])
    if "tokens" in model:
        said += f"; {model['tokens']:,} tokens predicted, windows of {model['window']:,}"
    elif "window" in model:
        said += f", windows of {model['window']:,}"
    if "stride" in model:
        said += f", a new one every {model['stride']:,}"
    return f"{said}."
