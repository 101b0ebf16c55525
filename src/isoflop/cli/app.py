"""The `isoflop` command: a table of verbs, and what happens to a user's mistake."""

from __future__ import annotations

import os
import sys

import typer

from isoflop.cli import verbs
from isoflop.cli.groups import Verbs
from isoflop.errors import MachineError, UserError
from isoflop.version import __version__

USER_MISTAKE = 2
OUR_MISTAKE = 1

app = typer.Typer(
    name="isoflop",
    cls=Verbs,
    help="The scaling lab for language models: measure small runs, fit the law, plan the big run, train it, check it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
verbs.register(app)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def run() -> None:
    """Do what the command line says; a mistake is told in its words, and exits 2 where it is the user's."""
    try:
        app()
    except UserError as error:
        print(f"isoflop: {error}", file=sys.stderr)
        sys.exit(USER_MISTAKE)
    except MachineError as error:
        print(f"isoflop: {error}", file=sys.stderr)
        sys.exit(OUR_MISTAKE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OUR_MISTAKE)
