"""`isoflop parametrizations`."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    app.command("parametrizations")(parametrizations)


def parametrizations() -> None:
    """Print the table of parametrisations, role by rule, with the source of each entry (Markdown)."""
    from isoflop.models.parametrization_page import parametrization_page

    print(parametrization_page(), end="")
