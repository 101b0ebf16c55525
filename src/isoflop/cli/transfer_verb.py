"""`isoflop transfer`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isoflop.cli.coord_check_verb import NAMES, whole_numbers
from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.study.transfer import Transfer


def register(app: typer.Typer) -> None:
    app.command("transfer")(transfer)


def transfer(
    names: list[str] = typer.Argument(None, help="Parametrisations to sweep; all four without any."),
    out: Path = typer.Option(Path("transfer"), "--out", help="The folder for the runs, the picture and the numbers."),
    study: Path = typer.Option(None, "--study", help="A study file whose corpus and tokenizer are used."),
    widths: str = typer.Option("16,32,64,128", "--widths", help="Widths, at 2 layers."),
    depths: str = typer.Option("2,4,8", "--depths", help="Layers, at width 32."),
    rates: str = typer.Option("", "--rates", help="Learning rates; without, some around each one's usual optimum."),
    seeds: int = typer.Option(1, "--seeds", min=1, help="Seeds whose losses are averaged."),
    steps: int = typer.Option(400, "--steps", min=1, help="Steps of every run, of 1,024 tokens."),
    processes: int = typer.Option(None, "--processes", min=1, help="Runs at once; as many as there are cores without."),
) -> None:
    """Sweep the learning rate over widths and depths, and draw loss against rate with the best rates marked.

    Leaves transfer.svg and transfer.json. Run the same command again to go on with an interrupted sweep.
    """
    from isoflop.study import StudyConfig, read_config
    from isoflop.study.pictures import transfer_figure
    from isoflop.study.transfer import TransferConfig, run_transfer

    text = StudyConfig() if study is None else read_config(study)
    config = TransferConfig(
        parametrizations=tuple(dict.fromkeys(names or NAMES)),
        widths=whole_numbers(widths),
        depths=whole_numbers(depths),
        rates=_rates(rates),
        seeds=seeds,
        steps=steps,
        corpus=text.corpus,
        tokenizer=text.tokenizer,
    )
    found = run_transfer(config, out, listen=print, processes=processes)
    transfer_figure(found, out / "transfer.svg")
    _print(found)
    print(f"  {out / 'transfer.svg'}\n  {out / 'transfer.json'}")


def _print(found: Transfer) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "width", "layers", "best rate", "loss there, nats per token", "")
    for line in found.lines:
        note = "" if line.bracketed else "at the edge of the rates tried"
        table.add_row(
            line.parametrization, str(line.width), str(line.layers), f"{line.best:.3g}", f"{line.loss:.3f}", note
        )
    Console().print(table)
    for name in found.config.parametrizations:
        width, depth = (found.move(name, by=by) for by in ("width", "depth"))
        verdict = "carries over" if found.verdict(name) else "does not carry over"
        print(f"{name}: the best rate moves by {width:.2f} factor-2 steps in width, {depth:.2f} in depth: {verdict}.")


def _rates(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UserError(f"--rates {text!r} is not a list of numbers such as 0.5,1,2.") from error
