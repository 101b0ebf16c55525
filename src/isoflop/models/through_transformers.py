"""Models that transformers reads for us, in float32: checkpoints of any causal class, and GGUF files, whatever they are
quantised to."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from isoflop.errors import UserError

CHECKPOINTS = ("config.json", "model.json", "model/model.json")
"""What says that a folder holds a checkpoint, of Hugging Face or of ours, whatever lies beside it."""
QUANTISED = "quantization_config"


def gguf_of(path: Path) -> Path | None:
    """The GGUF file that `path` is, or that is alone in the folder `path` without a checkpoint."""
    if path.is_file() and path.suffix == ".gguf":
        return path
    if not path.is_dir() or any((path / name).exists() for name in CHECKPOINTS):
        return None
    found = sorted(path.glob("*.gguf"))
    return found[0] if len(found) == 1 else None


def refuse_gguf(path: Path) -> None:
    """Raises `UserError` where `path` is a GGUF file, or a folder with one, and only a checkpoint will do."""
    file = gguf_of(path)
    if file is not None:
        raise UserError(f"{file} is a GGUF file: make a model of it first, by isoflop import {file} --out DIR.")


@contextlib.contextmanager
def as_checkpoint(path: Path) -> Iterator[Path]:
    """A folder with the checkpoint, `path` itself where it is no GGUF file. Raises `UserError` for a broken file, and
    where transformers or gguf is missing."""
    file = gguf_of(path)
    if file is None:
        yield path
        return
    stock, tokenizer = read_stock(file.parent, file.name)
    plain = {name: value for name, value in stock.config.to_dict().items() if name != QUANTISED}
    with tempfile.TemporaryDirectory() as folder:
        with quiet():
            fresh = type(stock)(type(stock.config)(**plain))  # one that does not refuse to be saved
            fresh.load_state_dict(stock.state_dict())
            fresh.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        yield Path(folder)


def read_stock(folder: Path, gguf: str | None) -> tuple[Any, Any]:
    """The causal model of transformers in `folder`, or in its file `gguf`, in float32, and its tokenizer. Raises
    `UserError` where there is none."""
    source = folder / gguf if gguf else folder
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise UserError(f"{source} can be read through transformers alone: pip install transformers gguf.") from error
    how: dict[str, Any] = {"local_files_only": True, **({"gguf_file": gguf} if gguf else {})}
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, **how)
            how |= {"dtype": torch.float32, "output_loading_info": True}
            found: Any = AutoModelForCausalLM.from_pretrained(folder, **how)
            stock, info = found
    except Exception as error:  # transformers raises whatever its parts raise
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{source}: transformers can't read it as a causal model ({what}).") from error
    missing = sorted(info["missing_keys"])
    if missing:  # transformers draws them by chance, and only warns
        raise UserError(f"The checkpoint in {source} has no weight {missing[0]}: it is no causal language model.")
    return stock, tokenizer


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' bars and hints, which go to standard error."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
