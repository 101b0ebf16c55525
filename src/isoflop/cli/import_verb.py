"""`isoflop import CHECKPOINT --out DIR`."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    app.command("import")(import_model)


def import_model(
    checkpoint: Path = typer.Argument(..., help="A Hugging Face checkpoint (folder, safetensors) or a GGUF file."),
    out: Path = typer.Option(..., "--out", metavar="DIR", help="Where the model goes."),
) -> None:
    """Read a Hugging Face checkpoint (Llama, GPT-2, BERT, T5 and their like) or a GGUF file as a model of isoflop."""
    from isoflop.errors import UserError
    from isoflop.generation import Manner, read_manner
    from isoflop.models import from_hugging_face, save_model
    from isoflop.models.through_transformers import as_checkpoint

    if (out / "model.json").exists():
        raise UserError(f"{out} holds a model already: delete it, or choose another folder with --out.")
    if not checkpoint.exists():
        raise UserError(f"There is no {checkpoint}: name the folder of a Hugging Face checkpoint, or a GGUF file.")
    with as_checkpoint(checkpoint) as folder:
        if not (folder / "config.json").is_file():
            raise UserError(f"{checkpoint} is no Hugging Face checkpoint (no config.json in it) and no GGUF file.")
        model, info = from_hugging_face(folder)
        save_model(
            out,
            model,
            parametrization=info.parametrization,
            base=info.base,
            objective=info.objective,
            tokenizer=info.tokenizer,
        )
        manner = read_manner(folder)
    if manner != Manner():  # it says how it is asked, and which tokens end a text
        manner.write(out)
    shape = info.shape
    size = f"{shape.layers} layers of width {shape.width}, vocabulary {shape.vocab:,}"
    print(f"{out}: {shape.stack}, {size}, {sum(weight.numel() for weight in model.parameters()):,} parameters")
