"""A fine-tuned model as a folder: the pretrained part with its tokenizer, the head, what its task has to know, a card.

The folder is one of a trained model (`model.json`, `weights.safetensors`, `tokenizer.json`) with `task.json`,
`head.safetensors` and `README.md` beside, so whatever reads a trained model reads this one too; unless prompts or
prefixes belong to it (see `models.adapter`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from isoflop.adaptation.classifier import POOLINGS, Pooling
from isoflop.adaptation.task import Predictor
from isoflop.errors import UserError
from isoflop.files import write_json
from isoflop.models import Model, ModelInfo, adapter
from isoflop.models.opening import fitting_tokenizer
from isoflop.models.storage import read_json_object, read_weights, write_weights

SCHEMA = 1
TASK, HEAD, CARD = "task.json", "head.safetensors", "README.md"
TEMPERATURE = "temperature.json"
"""What `isoflop evaluate --calibrate` leaves beside a classifier."""
CLASSIFIER = "classifier.json"
"""What `task.json` was called when classification was the only task; such folders are still read."""


def check_filled(examples: Sequence[tuple[str, ...]]) -> None:
    """Raises `UserError`, with its number, for an example that has an empty text."""
    for number, texts in enumerate(examples, start=1):
        if not all(text.strip() for text in texts):
            raise UserError(f"Text {number} is empty: there is nothing to read.")


def save_adapted(
    folder: Path, body: Model, head: Mapping[str, Tensor], *, info: ModelInfo, record: Mapping[str, Any]
) -> None:
    """Write the pretrained model `body`, which `info` describes, its task's own weights `head` (none for a task without
    any), and `record`, which has the task's name under `task`. `task.json` comes last, so a folder with it is whole."""
    adapter.save_body(folder, body, info)
    if head:
        write_weights(folder / HEAD, {name: weight.detach().cpu().contiguous() for name, weight in head.items()})
    (folder / TEMPERATURE).unlink(missing_ok=True)  # of weights that were there before
    write_json(folder / TASK, {"schema": SCHEMA, **record})


def write_temperature(folder: Path, temperature: float, *, fitted_on: Path) -> Path:
    """Let the classifier in `folder` divide its logits by `temperature` from now on; returns the file that says so."""
    record = {"schema": SCHEMA, "temperature": temperature, "fitted_on": str(fitted_on.resolve())}
    write_json(folder / TEMPERATURE, record)
    return folder / TEMPERATURE


def read_temperature(folder: Path) -> float:
    """What the logits of the classifier in `folder` are divided by. Raises `UserError` for a damaged file."""
    if not (folder / TEMPERATURE).exists():
        return 1.0
    found = read_json_object(folder / TEMPERATURE).get("temperature")
    if not isinstance(found, float) or not 0 < found < math.inf:
        raise UserError(f"{folder / TEMPERATURE} is damaged: delete it, or run isoflop evaluate --calibrate again.")
    return found


def load_adapted(folder: Path) -> Predictor:
    """The fine-tuned model in `folder` or its `model`. Raises `UserError` where it is missing or damaged."""
    from isoflop.adaptation.tasks import TASKS, task_class

    folder, record = read_record(folder)
    if record["task"] not in TASKS:
        raise UserError(f"{folder} does the task {record['task']!r}, which this version of isoflop does not know.")
    return task_class(record["task"]).load(folder, record)


def read_record(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The folder that holds the model, and what its `task.json` says. Raises `UserError` as `load_adapted` does."""
    places = [(folder / inner, name) for inner in ("model", "") for name in (TASK, CLASSIFIER)]
    found = next((place / name for place, name in places if (place / name).exists()), None)
    if found is None:
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}: name one that isoflop finetune made.")
        raise UserError(f"{folder} has no {TASK}: name a folder that isoflop finetune made.")
    record = read_json_object(found)
    if record.get("schema") != SCHEMA or not isinstance(record.get("task"), str):
        raise damaged(found)
    return found.parent, record


def labels_in(folder: Path, record: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """The labels of the task that `record`, the one in `folder`, is of, and its longest text in tokens. Raises
    `UserError` where it does not have them."""
    labels, longest = record.get("labels"), record.get("longest")
    if not isinstance(labels, list) or not isinstance(longest, int):
        raise damaged(folder / TASK)
    return tuple(map(str, labels)), longest


def pooling_in(folder: Path, record: Mapping[str, Any]) -> Pooling:
    """How the states of a text were pooled. Raises `UserError` where `record` does not say it."""
    found = next((one for one in POOLINGS if one == record.get("pooling")), None)
    if found is None:
        raise damaged(folder / TASK)
    return found


def damaged(path: Path) -> UserError:
    """What to raise for a `path` that does not say what it should."""
    return UserError(f"{path} is damaged, or of another version of isoflop: fine-tune again.")


def load_body(folder: Path) -> tuple[Model, Tokenizer]:
    """The pretrained part and its tokenizer. Raises `UserError` where they are damaged."""
    body, info = adapter.load_body(folder)
    if info.tokenizer is None:
        raise UserError(f"{folder} has no tokenizer: it is damaged.")
    return body, fitting_tokenizer(info, folder)


def put_head(part: nn.Module, folder: Path, *, name: str = HEAD) -> None:
    """Read the task's own weights, those in the file `name`, into `part`. Raises `UserError` where they are others."""
    weights = read_weights(folder / name)
    wanted = {name: weight.shape for name, weight in part.state_dict().items()}
    if {name: weight.shape for name, weight in weights.items()} != wanted:
        raise UserError(f"{folder / name} does not fit the labels and the model beside it: it is damaged.")
    with torch.no_grad():
        part.load_state_dict(weights)
