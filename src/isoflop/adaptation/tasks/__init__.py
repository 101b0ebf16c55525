"""What a pretrained model can be made to do: one file for each task, found by the name that `--task` takes."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from isoflop.adaptation.task import Task
from isoflop.errors import UserError

TASKS: dict[str, tuple[str, str]] = {
    "classify": ("isoflop.adaptation.tasks.classify", "Classify"),
    "multilabel": ("isoflop.adaptation.tasks.multilabel", "MultiLabel"),
    "pairs": ("isoflop.adaptation.tasks.pairs", "Pairs"),
    "tokens": ("isoflop.adaptation.tasks.tokens", "Tokens"),
    "qa": ("isoflop.adaptation.tasks.qa", "Questions"),
    "seq2seq": ("isoflop.adaptation.tasks.seq2seq", "Seq2Seq"),
    "generate": ("isoflop.adaptation.tasks.continuation", "Generate"),
    "chat": ("isoflop.adaptation.tasks.chat", "Chat"),
    "embed": ("isoflop.adaptation.tasks.embed", "Embed"),
    "cloze": ("isoflop.adaptation.tasks.cloze", "Cloze"),
}
"""Name -> module and class."""


def task_class(name: str) -> type[Task]:
    """The class of the task called `name`. Raises `UserError` for a name that no task has."""
    if name not in TASKS:
        raise UserError(f"--task is {name!r}: choose {', '.join(TASKS)}.")
    module, found = TASKS[name]
    return getattr(importlib.import_module(module), found)


def task_named(name: str, settings: dict[str, Any] | None = None) -> Task:
    """The task as a value; a setting is of its field's type, or text that says it, or a list of such texts.

    Raises `UserError` for an unknown name or setting, and for a value of the wrong kind.
    """
    made, settings = task_class(name), settings or {}
    fields = {field.name: field for field in dataclasses.fields(made)}  # type: ignore[arg-type]
    strange = next((key for key in settings if key not in fields), None)
    if strange is not None:
        known = f"it has {', '.join(fields)}" if fields else "it has none"
        raise UserError(f"The task {name!r} has no setting {strange!r}: {known}.")
    return made(**{key: _typed(key, value, str(fields[key].type)) for key, value in settings.items()})


def _typed(key: str, value: Any, kind: str) -> Any:
    if kind.startswith("tuple"):
        return (value,) if isinstance(value, str) else tuple(value)
    if isinstance(value, list):
        raise UserError(f"The setting {key} is given {len(value)} times: give it once.")
    if not isinstance(value, str):
        return value
    try:
        if kind.startswith("int"):
            return int(value)
        if kind.startswith("float"):
            return float(value)
        if kind.startswith("bool"):
            return {"true": True, "false": False}[value.lower()]
    except (ValueError, KeyError):
        raise UserError(f"The setting {key} is {value!r}, which is no {kind.partition(' ')[0]}.") from None
    return value
