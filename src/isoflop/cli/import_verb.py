"""`isoflop import CHECKPOINT --out DIR`."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    app.command("import")(import_model)


def import_model(
    checkpoint: Path = typer.Argument(..., help="The folder of a Hugging Face checkpoint (safetensors)."),
    out: Path = typer.Option(..., "--out", metavar="DIR", help="Where the model goes."),
) -> None:
    """Read a Hugging Face checkpoint (Llama, GPT-2, BERT, T5 and their like) as a model of isoflop."""
    from isoflop.errors import UserError
    from isoflop.generation import Manner, read_manner
    from isoflop.models import from_hugging_face, save_model

    if (out / "model.json").exists():
        raise UserError(f"{out} holds a model already: delete it, or choose another folder with --out.")
    model, info = from_hugging_face(checkpoint)
    save_model(
        out,
        model,
        parametrization=info.parametrization,
        base=info.base,
        objective=info.objective,
        tokenizer=info.tokenizer,
    )
    manner = read_manner(checkpoint)
    if manner != Manner():  # it says how it is asked, and which tokens end a text
        manner.write(out)
    shape = info.shape
    size = f"{shape.layers} layers of width {shape.width}, vocabulary {shape.vocab:,}"
    print(f"{out}: {shape.stack}, {size}, {sum(weight.numel() for weight in model.parameters()):,} parameters")
