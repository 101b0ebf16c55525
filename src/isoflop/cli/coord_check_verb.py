"""`isoflop coord-check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.study.coordinates import Check, Trace

NAMES = ("sp", "mup", "u-mup", "completep")


def register(app: typer.Typer) -> None:
    app.command("coord-check")(coord_check)


def coord_check(
    names: list[str] = typer.Argument(None, help="Parametrisations to check; all four without any."),
    out: Path = typer.Option(Path("coordinates"), "--out", help="The folder for the picture and the numbers."),
    widths: str = typer.Option("32,64,128,256", "--widths", help="Widths, at 2 layers."),
    depths: str = typer.Option("2,4,8,16", "--depths", help="Layers, at width 32."),
    steps: int = typer.Option(8, "--steps", min=1, help="Training steps between the two measurements."),
    seeds: int = typer.Option(2, "--seeds", min=1, help="Seeds whose sizes are averaged."),
) -> None:
    """Plot activation and update sizes against width and depth for each parametrisation: flat is right.

    Leaves coordinates.svg and coordinates.json. Exit code 1 where a parametrisation other than sp fails.
    """
    from isoflop.files import check_folder, write_json
    from isoflop.study.coordinates import CheckConfig, check_parametrizations
    from isoflop.study.pictures import coordinate_figure

    config = CheckConfig(widths=whole_numbers(widths), depths=whole_numbers(depths), steps=steps, seeds=seeds)
    check_folder(out)
    check = check_parametrizations(list(dict.fromkeys(names or NAMES)), config)
    write_json(out / "coordinates.json", check.to_dict())
    coordinate_figure(check, out / "coordinates.svg")
    _print(check)
    print(f"  {out / 'coordinates.svg'}\n  {out / 'coordinates.json'}")
    if any(not check.passed(name) for name in check.names if name != "sp"):
        raise typer.Exit(1)


def _print(check: Check) -> None:
    from rich.console import Console
    from rich.table import Table

    cells = {(trace.parametrization, trace.by, trace.kind, trace.what): _cell(check, trace) for trace in check.traces}
    table = Table("slope of log RMS", "against", *check.names)
    for by, kind, what in dict.fromkeys(key[1:] for key in cells):
        label = what if kind == "size" else f"{what}: change"
        table.add_row(label, by, *(cells[name, by, kind, what] for name in check.names))
    Console().print(table)
    for name in check.names:
        failures = check.failures(name)
        if failures:
            worst = max(failures, key=lambda trace: abs(trace.slope))
            prefix = "" if worst.kind == "size" else "change in "
            print(f"{name} fails: {prefix}{worst.what} goes with {worst.by}^{worst.slope:+.2f}.")
        else:
            print(f"{name} passes (within ±{check.config.tolerance:g} of the right slopes).")


def _cell(check: Check, trace: Trace) -> str:
    if trace.passes(check.config.tolerance):
        return f"{trace.slope:+.2f}"
    return f"{trace.slope:+.2f} FAIL" if trace.judged else f"{trace.slope:+.2f} (no rule)"


def whole_numbers(text: str) -> tuple[int, ...]:
    """The numbers of a list like `16,32`. Raises `UserError` where it is none."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UserError(f"{text!r} is not a list of whole numbers such as 16,32,64.") from error
