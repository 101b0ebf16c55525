"""A pretrained model by its name on the Hugging Face Hub: from the local cache, or fetched into it."""

from __future__ import annotations

import re
from pathlib import Path

from isoflop.errors import UserError
from isoflop.models.through_transformers import refuse_gguf

NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
"""`bert-base-uncased`, `google-bert/bert-base-uncased`."""
WANTED = (
    *("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer.json", "model.json", "task.json"),
    *("tokenizer_config.json", "generation_config.json", "chat_template.jinja", "generation.json"),
)
"""What is read of a checkpoint: nothing else is fetched, and never a pickle."""


def model_folder(model: Path) -> Path:
    """The folder `model`, or the cached snapshot of the Hub's repository of that name.

    A folder goes before a name. Raises `UserError` where there is neither, and the Hub has none or can't be reached.
    """
    if model.is_dir():
        return model
    refuse_gguf(model)
    name = str(model)
    if model.exists() or not NAME.fullmatch(name):
        raise UserError(f"There is no folder {model}: name a trained model of isoflop or a Hugging Face checkpoint.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    nowhere = f"There is no folder {name}: name a trained model of isoflop or a Hugging Face checkpoint"
    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED)))
    except RepositoryNotFoundError as error:
        raise UserError(f"{nowhere}; the Hub has no public model of that name either.") from error
    except (LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(f"{nowhere}; the Hub, where it may be, can't be reached, and it isn't in its cache.") from error
