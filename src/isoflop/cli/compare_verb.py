"""`isoflop compare RUNS --law … --law …`."""

from __future__ import annotations

import json

import typer

from isoflop.cli.tables import print_notes, print_table


def register(app: typer.Typer) -> None:
    app.command("compare")(compare_laws)


def compare_laws(
    runs: str = typer.Argument(..., help="A study's folder, a table (CSV, Parquet, JSON lines), or published:NAME."),
    law: list[str] = typer.Option(..., "--law", help="A law of the catalogue or a formula; give two or more."),
    by: str = typer.Option("C", "--by", help="The column that orders runs from small to large."),
    mapping: str = typer.Option(None, "--map", metavar="N=params,D=tokens", help="Which column is which quantity."),
    where: list[str] = typer.Option(None, "--where", metavar="COLUMN=VALUE", help="Keep only these runs."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead of the table."),
) -> None:
    """Laws side by side: AICc, error on larger runs held out, and an average where none wins."""
    from isoflop.fitting.extrapolation import compare
    from isoflop.runs import load_runs

    found = compare(load_runs(runs, mapping=mapping, where=",".join(where) if where else None), law, by=by)
    if as_json:
        print(json.dumps(found.to_dict(), allow_nan=False))
        return
    rows = [
        (one.name, str(len(one.fit.fitted)), f"{one.delta_aicc:.1f}", f"{100 * one.error:.3g} %",
         f"{100 * one.coverage:.0f} %", f"{one.weight:.2f}" if one.weight else "–")
        for one in found.contestants
    ]  # fmt: skip
    if found.winner is None:
        rows.append(("stack", "", "", f"{100 * found.stack_error:.3g} %", "", "1.00"))
    head = ("law", "parameters", "AICc above best", "held-out error", "within 90 %", "weight")
    print_table(f"{found.source}: {found.n_held_out} predictions of runs with more {found.by}", head, rows)
    print(found.verdict)
    notes = ["AICc judges the fit to all runs, the held-out error how larger runs were predicted; trust the latter."]
    if found.winner is None:
        notes.append("The stack's weights were chosen on the same predictions, so its own error flatters it.")
    print_notes(notes)
