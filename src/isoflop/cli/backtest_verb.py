"""`isoflop backtest FILE`: fit on the smaller, predict the larger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from isoflop.cli.tables import print_notes, print_table, progress_bar

if TYPE_CHECKING:
    from isoflop.fitting.extrapolation import Backtest, CurveScores


def register(app: typer.Typer) -> None:
    app.command("backtest")(backtest_runs)


def backtest_runs(
    runs: str = typer.Argument(..., help="A study's folder, a table (CSV, Parquet, JSON lines), or published:NAME."),
    law: list[str] = typer.Option(
        None, "--law", help="A law of the catalogue or a formula, may be repeated; with --group also auto."
    ),
    by: str = typer.Option("C", "--by", help="The column that orders runs from small to large."),
    group: str = typer.Option(None, "--group", help="The column that names a curve: back-test each curve on its own."),
    x: str = typer.Option(None, "--x", help="With --group: the abscissa of the curves; tokens without it."),
    train: str = typer.Option(
        None, "--train", metavar="COLUMN=VALUE", help="With --group: rows to fit; split=train without it."
    ),
    test: str = typer.Option(
        None, "--test", metavar="COLUMN=VALUE", help="With --group: rows to predict; split=test without it."
    ),
    mapping: str = typer.Option(None, "--map", metavar="N=params,D=tokens", help="Which column is which quantity."),
    where: list[str] = typer.Option(None, "--where", metavar="COLUMN=VALUE", help="Keep only these runs."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead of the table."),
) -> None:
    """Try a law where it counts: fit the smaller runs, predict the larger, and see error and coverage."""
    from isoflop.errors import UserError
    from isoflop.fitting.extrapolation import backtest, backtest_curves
    from isoflop.runs import load_runs

    needless = [name for name, given in (("--x", x), ("--train", train), ("--test", test)) if given and not group]
    if needless:
        raise UserError(f"{needless[0]} is for curves: name their column with --group, or leave it out.")
    table = load_runs(runs, mapping=mapping, where=",".join(where) if where else None)
    if group is None:
        with progress_bar("cuts") as progress:
            rolled = backtest(table, law or ["chinchilla"], by=by, progress=progress)
        print(json.dumps(rolled.to_dict(), allow_nan=False)) if as_json else _print_rolled(rolled)
        return
    if law and len(law) > 1:
        raise UserError("With --group one --law is tried at a time: auto averages several.")
    with progress_bar("curves") as progress:
        scores = backtest_curves(
            table, (law or ["auto"])[0], group=group, x=x or "tokens", train=_pair(train or "split=train", "--train"),
            test=_pair(test or "split=test", "--test"), progress=progress,
        )  # fmt: skip
    print(json.dumps(scores.to_dict())) if as_json else _print_curves(scores)


def _pair(text: str, option: str) -> tuple[str, str]:
    from isoflop.errors import UserError

    column, equals, value = text.partition("=")
    if not (column and equals and value):
        raise UserError(f"{option} {text!r} is not understood: write COLUMN=VALUE, such as split=train.")
    return column, value


def _print_rolled(result: Backtest) -> None:
    ends = f"{result.cuts[0]:.3g} to {result.cuts[-1]:.3g}"
    rows = []
    for law in result.laws:
        own = [band for band in result.bands if band.law == law]
        for band in own:
            beyond = f"{band.low:g}–{band.high:g}×" if band.high < float("inf") else f"over {band.low:g}×"
            rows.append((law, beyond, str(band.n), *_percents(band.error, band.bias, band.coverage)))
        n = sum(band.n for band in own)
        rows.append((law, "all", str(n), *_percents(result.error(law), None, result.coverage(law))))
    head = ("law", f"{result.by} beyond the fit", "runs", "error", "bias", "within 90 %")
    print_table(f"{result.source}: fitted up to {len(result.cuts)} sizes, {result.by} {ends}", head, rows)
    print_notes(result.notes)


def _percents(error: float, bias: float | None, coverage: float) -> tuple[str, str, str]:
    return f"{100 * error:.3g} %", "" if bias is None else f"{100 * bias:+.2g} %", f"{100 * coverage:.0f} %"


def _print_curves(scores: CurveScores) -> None:
    rows = [
        (name, one.law, f"{one.n_train} → {one.n_test}", f"{one.rmsle:.4g}", f"{100 * one.coverage:.0f} %")
        for name, one in scores.groups.items()
    ]
    print_table("", ("curve", "law", "rows", "RMSLE", "within 90 %"), rows)
    print(f"mean RMSLE {scores.mean_rmsle:.4g} over {len(rows)} curves")
    print_notes(scores.notes)
