"""`isoflop laws ls` and `isoflop laws show KEY`."""

from __future__ import annotations

import json

import typer

from isoflop.cli.groups import Verbs

_JSON = typer.Option(False, "--json", help="Print JSON instead of text.")


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Verbs, help="List the published laws (ls), or show one (show).", no_args_is_help=True)
    group.command("ls")(list_laws)
    group.command("show")(show_law)
    app.add_typer(group, name="laws")


def list_laws(as_json: bool = _JSON) -> None:
    """List the laws: key, what each predicts from what, paper, published sets of values."""
    from isoflop.laws.catalogue import ENTRIES, text

    if as_json:
        print(json.dumps([text.as_data(entry) for entry in ENTRIES.values()], indent=2))
    else:
        print(text.table(ENTRIES.values()))


def show_law(
    key: str = typer.Argument(..., help="A law's key, or key:source for one of its published sets."),
    as_json: bool = _JSON,
) -> None:
    """Show one law: formula, symbols, published values and where they are printed, citation, BibTeX."""
    from isoflop.laws.catalogue import find, text

    name, _, source = key.partition(":")
    entry = find(name)
    sets = (entry.published(source),) if source else entry.sets
    print(json.dumps(text.as_data(entry, sets), indent=2) if as_json else text.page(entry, sets))
