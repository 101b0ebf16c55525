"""Causal models that no shape here describes, computed by transformers: any of its classes, and GGUF files.

Nothing is fetched from the net, and no code of a checkpoint's own is run.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from isoflop.errors import UserError

MISSING = "pip install transformers (for a GGUF file also gguf and sentencepiece)"


@final
class StockDecoder(nn.Module):
    """A causal model of transformers with its `tokenizer` and the longest sequence it reads, `context` tokens."""

    def __init__(self, model: Any, tokenizer: Tokenizer, context: int) -> None:
        super().__init__()
        self.model, self.tokenizer, self.context = model, tokenizer, context
        self.vocab = int(model.config.get_text_config().vocab_size)

    def remember(self, tokens_1T: Tensor) -> Any:
        """What the layers keep of tokens that every sequence begins with, for `logits`."""
        return self.model(tokens_1T, use_cache=True, logits_to_keep=1).past_key_values

    def logits(self, inputs_BT: Tensor, *, last: int, remembered: Any = None) -> Tensor:
        """Logits of the token behind each of the `last` places: (B, last, V)."""
        if remembered is not None:
            remembered = copy.deepcopy(remembered)
            remembered.batch_repeat_interleave(len(inputs_BT))
        return self.model(inputs_BT, past_key_values=remembered, logits_to_keep=last).logits


def load_stock_decoder(path: Path) -> StockDecoder:
    """The causal model in a checkpoint's folder, a folder with one GGUF file, or that file.

    Raises `UserError` where transformers is missing or can't read it.
    """
    if importlib.util.find_spec("transformers") is None:
        raise UserError(f"{path} can only be read by transformers, which is not installed: {MISSING}.")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, where = _where(path)
    try:
        with _silent():
            tokens = AutoTokenizer.from_pretrained(folder, local_files_only=True, **where)
            model = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, low_cpu_mem_usage=True, **where
            )
    except Exception as error:  # transformers raises what its parts raise
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{path} can't be read as a causal model by transformers ({reason}).") from error
    backend = getattr(tokens, "backend_tokenizer", None)
    if backend is None:
        raise UserError(f"{path} has a tokenizer that is not of the tokenizers library: save it as tokenizer.json.")
    config = model.config.get_text_config()
    context = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 2048
    return StockDecoder(model.eval(), backend, int(context))


def gguf_files(folder: Path) -> list[Path]:
    """The GGUF files in a folder."""
    return sorted(folder.glob("*.gguf")) if folder.is_dir() else []


def _where(path: Path) -> tuple[Path, dict[str, str]]:
    files = [path] if path.suffix == ".gguf" else gguf_files(path)
    if (path / "config.json").exists() or not files:
        return path, {}
    if len(files) > 1:
        raise UserError(f"{path} has {len(files)} GGUF files: name the one that is meant.")
    return files[0].parent, {"gguf_file": files[0].name}


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without the bars and remarks of other libraries, which are not for the reader of a table."""
    from transformers.utils import logging as stock_logging

    verbosity = stock_logging.get_verbosity()
    stock_logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        stock_logging.set_verbosity(verbosity)
