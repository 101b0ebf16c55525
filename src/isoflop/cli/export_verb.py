"""`isoflop export DIR`."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    app.command("export")(export_model)


def export_model(
    folder: Path = typer.Argument(..., metavar="DIR", help="The folder of a trained model, or of its training."),
    out: Path = typer.Option(None, "--out", help="Where the checkpoint goes; DIR/hugging_face if not said."),
) -> None:
    """Write the model in DIR as a stock Hugging Face checkpoint, tokenizer included."""
    from isoflop.adaptation.stock_checkpoint import export_adapted, reads_states
    from isoflop.errors import UserError
    from isoflop.generation import MANNER, add_to_checkpoint, read_manner
    from isoflop.models import load_model, to_hugging_face

    target = folder / "hugging_face" if out is None else out
    source = folder if (folder / "model.json").exists() or not (folder / "model").is_dir() else folder / "model"
    if (source / "run.json").exists() and not (source / "model.json").exists():
        raise UserError(f"{folder} is a measured run that kept no weights: name the folder of a trained model.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is there already: delete it, or choose another folder with --out.")
    model, info = load_model(source)
    note = ""
    if reads_states(source):
        stock, note = export_adapted(source, model, info, target)
    else:
        stock = to_hugging_face(model, target, tokenizer=info.tokenizer)
    if (source / MANNER).exists():
        add_to_checkpoint(read_manner(source), target)
    tokenizer = "with its tokenizer" if info.tokenizer else "without a tokenizer, since the model has none"
    print(f"{target}: {stock.name}, {sum(weight.numel() for weight in model.parameters()):,} parameters, {tokenizer}")
    if note:
        print(f"Note: {note}")
