"""`isoflop data`: questions about tokenised text."""

from __future__ import annotations

from pathlib import Path

import typer

from isoflop.cli.groups import Verbs


def register(app: typer.Typer) -> None:
    """Add the group of verbs."""
    group = typer.Typer(cls=Verbs, no_args_is_help=True, help="Name the document that a token comes from (origin).")
    group.command("origin")(origin)
    app.add_typer(group, name="data")


def origin(
    folder: Path = typer.Argument(..., metavar="FOLDER", help="The folder of a run, or of tokens."),
    position: int = typer.Argument(..., min=0, help="The token's place in the shard, from 0."),
    valid: bool = typer.Option(False, "--valid", help="In the validation shard instead of the training shard."),
    around: int = typer.Option(16, "--around", min=0, help="Tokens shown from there on."),
) -> None:
    """Name the document that a token comes from, and show the text from there on."""
    import numpy as np

    from isoflop.data import load_tokens
    from isoflop.data.tokens import tokens_of

    data = load_tokens(tokens_of(folder))
    found = data.origin("valid" if valid else "train", position)
    ids = np.asarray(data.shard("valid" if valid else "train")[position : position + around]).tolist()
    typer.echo(f"{found.document}, token {found.offset:,}")
    typer.echo(repr(data.tokenizer().decode(ids, skip_special_tokens=False)))
