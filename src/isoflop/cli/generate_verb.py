"""`isoflop generate MODEL PROMPT…`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.generation import Choice, Written

ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"})
"""What keeps an answer of several lines on one."""


def register(app: typer.Typer) -> None:
    app.command("generate")(generate)


def generate(
    model: Path = typer.Argument(..., help="A trained model: what isoflop left, or a Hugging Face folder."),
    prompts: list[str] = typer.Argument(None, metavar="PROMPT…", help="Prompts; without any, lines of standard input."),
    file: Path = typer.Option(None, "--file", help="A file with one prompt a line, instead."),
    max_tokens: int = typer.Option(128, "--max-tokens", help="The most tokens of an answer."),
    temperature: float = typer.Option(0.0, "--temperature", help="Above 0: draw each token; 0: take the likeliest."),
    top_k: int = typer.Option(None, "--top-k", help="Draw from so many of the likeliest tokens."),
    top_p: float = typer.Option(None, "--top-p", help="Draw from the fewest tokens with this probability together."),
    beams: int = typer.Option(None, "--beams", help="Search so many sequences side by side."),
    length_penalty: float = typer.Option(None, "--length-penalty", help="Exponent of the length that beams share."),
    repetition_penalty: float = typer.Option(1.0, "--repetition-penalty", help="Above 1: tokens seen are less likely."),
    samples: int = typer.Option(1, "--samples", help="So many answers to each prompt."),
    seed: int = typer.Option(None, "--seed", help="Seed of what is drawn."),
    chat: bool = typer.Option(False, "--chat", help="Put the prompt into the model's chat template, as a user's."),
    as_json: bool = typer.Option(False, "--json", help="A JSON object for each answer."),
) -> None:
    """Let a trained model go on from a prompt, translate it, or answer it: one line for each answer.

    What is drawn for a prompt depends on the seed and the prompt alone, not on the other prompts.
    """
    from isoflop.generation import Decoding, read_generator

    if prompts and file is not None:
        raise UserError("Give prompts or --file, not both.")
    choice = _choice(temperature, (top_k, top_p, seed), beams, length_penalty)
    if samples < 1:
        raise UserError(f"--samples must be at least 1, not {samples}.")
    if samples > 1 and not temperature:
        raise UserError("--samples are drawn: give a --temperature above 0.")
    decoding = Decoding(choice, max_tokens, repetition_penalty)
    generator = read_generator(model)
    if chat:
        generator = generator.as_chat()
    given = prompts or _lines(file)
    for note in generator.notes:
        print(f"note: {note}", file=sys.stderr)
    asked = [prompt for prompt in given for _ in range(samples)]
    answers = generator.write(asked, decoding)
    for prompt, answer in zip(asked, answers, strict=True):
        print(_line(prompt, answer, as_json=as_json, alone=len(asked) == 1))
    if any(answer.ended == "context" for answer in answers):
        print("note: some answers ended where the model's context does.", file=sys.stderr)


def _choice(
    temperature: float,
    drawing: tuple[int | None, float | None, int | None],
    beams: int | None,
    length_penalty: float | None,
) -> Choice:
    """The one way of choosing that the options name. Raises `UserError` where they name two."""
    from isoflop.generation import Beams, Greedy, Sample

    top_k, top_p, seed = drawing
    if temperature:
        if beams is not None or length_penalty is not None:
            raise UserError("--beams search and --temperature draws: give one of them.")
        return Sample(temperature, top_k, top_p, seed or 0)
    for flag, value in (("--top-k", top_k), ("--top-p", top_p), ("--seed", seed)):
        if value is not None:
            raise UserError(f"{flag} is for drawing: give a --temperature above 0 with it.")
    if beams is None:
        if length_penalty is not None:
            raise UserError("--length-penalty is for --beams: give their number.")
        return Greedy()
    return Beams(beams, 1.0 if length_penalty is None else length_penalty)


def _line(prompt: str, answer: Written, *, as_json: bool, alone: bool) -> str:
    """The answer as JSON, as it is, or among others on one line."""
    if as_json:
        record = {"prompt": prompt, "text": answer.text, "tokens": len(answer.tokens), "ended": answer.ended}
        return json.dumps(record, ensure_ascii=False)
    return answer.text if alone else answer.text.translate(ESCAPES)


def _lines(file: Path | None) -> list[str]:
    """One prompt a line; raises `UserError` for an empty one, with its number."""
    if file is None and sys.stdin.isatty():
        raise UserError("There is no prompt: give some, --file, or lines on standard input.")
    try:
        content = sys.stdin.buffer.read() if file is None else file.read_bytes()
        text = content.decode("utf-8-sig").removesuffix("\n")
    except OSError as error:
        raise UserError(f"{file} can't be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file or 'Standard input'} is not UTF-8 text (byte {error.start}).") from error
    lines = text.split("\n") if text else []
    if not lines:
        raise UserError("There is no prompt: give some, or a file with one a line.")
    empty = next((number for number, line in enumerate(lines, start=1) if not line.strip()), None)
    if empty is not None:
        raise UserError(f"{file or 'Standard input'}, line {empty}: the prompt is empty.")
    return [line.rstrip("\r") for line in lines]
