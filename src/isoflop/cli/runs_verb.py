"""`isoflop runs ls DIR` and `isoflop runs published`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from isoflop.cli.groups import Verbs
from isoflop.errors import UserError


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        cls=Verbs,
        help="List measured runs (ls), or the tables that papers published (published).",
        no_args_is_help=True,
    )
    group.command("ls")(list_runs)
    group.command("published")(list_published)
    app.add_typer(group, name="runs")


def list_runs(
    folder: Path = typer.Argument(..., help="A study's folder, or any that holds run folders."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object per run, a line each."),
) -> None:
    """List the run records under FOLDER: role, size, tokens, FLOPs, loss, speed, status."""
    from isoflop.runs import describe_runs

    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give a study's folder, or any that holds run folders.")
    rows = describe_runs(folder)
    if not rows:
        raise UserError(f"No runs in {folder}: none of its folders holds a run.json yet.")
    if as_json:
        for row in rows:
            print(json.dumps(row, allow_nan=False))
    else:
        _print_table(rows)


def list_published() -> None:
    """List the published tables of runs that any verb reads as `published:NAME`."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from isoflop.runs.published import PREFIX, stored_path
    from isoflop.runs.published_tables import TABLES

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("what, source, licence, and where it is read from", overflow="fold")
    for one in TABLES.values():
        where = "ISOFLOP_DATA" if stored_path(one) else "its address" if one.files else "ISOFLOP_DATA (not there)"
        about = f"{one.title}\n{one.source}\n{one.licence}; from {where}"
        table.add_row(PREFIX + one.name, str(one.rows), escape(about))
    Console().print(table)


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("role", no_wrap=True)
    table.add_column("run", overflow="fold")
    for name in ("N", "D", "FLOPs", "loss", "bits/\nbyte", "tokens\n/s"):
        table.add_column(name, justify="right", no_wrap=True)
    remarks = any(row["status"] != "finished" or row["note"] for row in rows)
    if remarks:
        table.add_column("status", overflow="fold", min_width=8)
    for row in rows:
        cells = [
            row["role"],
            row["run"],
            _short(row["params"]),
            _short(row["tokens"]),
            f"{row['flops']:.1e}",
            _with_error(row["loss"], row["loss_se"]),
            "–" if row["bits_per_byte"] is None else f"{row['bits_per_byte']:.3f}",
            _short(row["tokens_per_second"]),
        ]
        status = f"{row['status']}: {row['note']}" if row["note"] else row["status"]
        style = "red" if row["status"] == "diverged" else None
        table.add_row(*cells, *([status] if remarks else []), style=style)
    console = Console()
    console.print(table)
    console.print("Loss in nats per token ± its standard error over validation sequences.", style="dim")


def _short(value: float) -> str:
    """Three digits, with K, M, B, T up to a thousand trillion and an exponent above."""
    for limit, factor, suffix in (
        (1e3, 1e0, ""),
        (1e6, 1e3, "K"),
        (1e9, 1e6, "M"),
        (1e12, 1e9, "B"),
        (1e15, 1e12, "T"),
    ):
        if abs(value) < limit * 0.9995:
            return f"{value / factor:.3g}{suffix}"
    return f"{value:.2e}"


def _with_error(loss: float | None, error: float | None) -> str:
    if loss is None:
        return "–"
    return f"{loss:.4f}" if error is None else f"{loss:.4f} ± {error:.4f}"
