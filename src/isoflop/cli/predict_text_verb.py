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
    """Say the label of each text and how probable it is: a line for each, with tabs between."""
    from isoflop.adaptation import load_classifier

    if texts and file is not None:
        raise UserError("Give texts or --file, not both.")
    classifier = load_classifier(folder)
    given = texts or _lines(file)
    if not given:
        raise UserError("There is no text: give some, or a file with one a line.")
    for text, guess in zip(given, classifier.predict(given), strict=True):
        print(f"{guess.label}\t{guess.probability:.6f}\t{' '.join(text.split())}")


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
