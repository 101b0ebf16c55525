"""`isoflop fit RUNS --law NAME|FORMULA`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from isoflop.fitting.holdout import HeldOut
    from isoflop.fitting.result import Estimate, Fit


def register(app: typer.Typer) -> None:
    app.command("fit")(fit_runs)


def fit_runs(
    runs: str = typer.Argument(..., help="A study's folder, a table (CSV, Parquet, JSON lines), or published:NAME."),
    law: str = typer.Option("chinchilla", "--law", help="A law of the catalogue, or a formula."),
    mapping: str = typer.Option(None, "--map", metavar="N=params,D=tokens", help="Which column is which quantity."),
    where: list[str] = typer.Option(None, "--where", metavar="COLUMN=VALUE", help="Keep only these runs."),
    bootstrap: int = typer.Option(4000, "--bootstrap", min=0, help="Draws for the intervals."),
    seed: int = typer.Option(0, "--seed", min=0, help="Seed of the draws."),
    holdout: str = typer.Option(None, "--holdout", metavar="largest:0.2", help="Leave these out, then predict them."),
    out: Path = typer.Option(None, "--out", help="Write the fit here, for `isoflop plan`."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead of the summary."),
) -> None:
    """Fit a scaling law to RUNS: the global optimum, with intervals, and whether to believe it."""
    from isoflop.fitting import fit
    from isoflop.fitting.fit import law_of
    from isoflop.fitting.holdout import held_out, hold_out
    from isoflop.runs import load_runs

    table = load_runs(runs, mapping=mapping, where=",".join(where) if where else None)
    chosen, rest = law_of(law), None
    if holdout:
        table, rest = hold_out(table, chosen, rule=holdout)
    with _progress() as progress:
        found = fit(table, chosen, draws=bootstrap, seed=seed, progress=progress)
    score = held_out(found, rest) if rest is not None else None
    if out is not None:
        from isoflop.files import write_text

        write_text(out, found.to_json())
    print(json.dumps(_record(found, law, score), ensure_ascii=False) if as_json else _text(found, score), end="")
    if as_json:
        print()


def _record(fit: Fit, law: str, score: HeldOut | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "status": [asdict(one) for one in fit.status],
        "law": law,
        "formula": fit.law.formula,
        "objective": fit.objective,
        "parameters": {name: _interval(one) for name, one in fit.parameters.items()},
        "derived": {name: _interval(one) for name, one in fit.derived.items()},
        "n_runs": fit.n_runs,
        "dropped": fit.dropped,
        "certificate": asdict(fit.certificate),
    }
    return record if score is None else {**record, "holdout": asdict(score)}


def _interval(one: Estimate) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in asdict(one).items() if name != "level"}


def _text(fit: Fit, score: HeldOut | None) -> str:
    if score is None:
        return fit.summary()
    errors = f"root mean square error {100 * score.error:.3g} %, bias {100 * score.bias:+.3g} %"
    inside = f"{100 * score.coverage:.0f} % within their 90 % interval"
    return f"{fit.summary()}\nHeld out    {score.n_runs} largest runs: {errors}, {inside}\n"


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar on a terminal for what takes over two seconds, else nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    from time import monotonic

    from rich.console import Console
    from rich.progress import Progress

    started = monotonic()
    with Progress(console=Console(stderr=True), transient=True, disable=False) as bar:
        task = bar.add_task("draws", total=1.0, visible=False)
        yield lambda share: bar.update(task, completed=share, visible=monotonic() - started > 2)
