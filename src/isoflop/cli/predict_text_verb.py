"""`isoflop predict-text DIR TEXT…`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from isoflop.errors import UserError


def register(app: typer.Typer) -> None:
    app.command("predict-text")(predict_text)


def predict_text(
    folder: Path = typer.Argument(..., metavar="DIR", help="A folder that `isoflop finetune` made."),
    texts: list[str] = typer.Argument(None, metavar="TEXT…", help="Texts; without any, lines of standard input."),
    file: Path = typer.Option(None, "--file", help="A file with one text a line, instead."),
) -> None:
    """Do the folder's task on texts: a line for each, with tabs between; of a classifier label, probability and text.

    Where the task reads two texts (a pair, a question and its context) they follow each other; in a file a tab stands
    between them.
    """
    from isoflop.adaptation import load_adapted

    if texts and file is not None:
        raise UserError("Give texts or --file, not both.")
    predictor = load_adapted(folder)
    examples = grouped(texts, predictor.inputs) if texts else parted(_lines(file), predictor.inputs, file)
    if not examples:
        raise UserError("There is no text: give some, or a file with one a line.")
    for row in predictor.rows(examples):
        print("\t".join(" ".join(cell.split()) for cell in row))


def grouped(texts: list[str], inputs: tuple[str, ...]) -> list[tuple[str, ...]]:
    size = len(inputs)
    if len(texts) % size:
        raise UserError(
            f"Each example here is {' and '.join(inputs)}, so texts come in {size}s, and {len(texts)} came."
        )
    return [tuple(texts[at : at + size]) for at in range(0, len(texts), size)]


def parted(lines: list[str], inputs: tuple[str, ...], file: Path | None) -> list[tuple[str, ...]]:
    if len(inputs) == 1:
        return [(line,) for line in lines]
    found = [tuple(line.split("\t")) for line in lines]
    bad = next((number for number, one in enumerate(found, start=1) if len(one) != len(inputs)), None)
    if bad is not None:
        where = file or "Standard input"
        raise UserError(f"{where}, line {bad}: {' and '.join(inputs)} are expected with a tab between them.")
    return found


def _lines(file: Path | None) -> list[str]:
    """One text a line; a line that is empty is an error of the classifier's, which names its number."""
    try:
        content = sys.stdin.buffer.read() if file is None else file.read_bytes()
        text = content.decode("utf-8-sig").removesuffix("\n")
    except OSError as error:
        raise UserError(f"{file} can't be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file or 'Standard input'} is not UTF-8 text (byte {error.start}).") from error
    return text.split("\n") if text else []
