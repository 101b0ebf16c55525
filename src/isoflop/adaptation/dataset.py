"""A data set of the `datasets` library as a table: `datasets:NAME`, with `:PART` behind it for one of its parts.

NAME is what `datasets.load_dataset` takes: one of the Hub, or a folder with files of data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from isoflop.errors import UserError

PREFIX = "datasets:"
DEV_NAMES = ("validation", "dev", "valid")
UNLABELLED = -1
"""What the library gives for the answer of a part that was published without any."""


def is_dataset(path: Path) -> bool:
    """Whether this names a data set, not a file."""
    return str(path).startswith(PREFIX)


def parts_of(path: Path) -> dict[str, Path]:
    """What a data set has of train, dev and test, each as a path that `dataset_rows` reads. Raises `UserError` where it
    has nothing to train on."""
    name, part = _split_name(path)
    if part:
        return {"train": path}
    found = _load(name)
    parts = {"dev": next((one for one in DEV_NAMES if one in found), None), "test": "test" if "test" in found else None}
    if "train" not in found:
        raise UserError(f"{path} has no part 'train': name one with {PREFIX}{name}:PART from {', '.join(found)}.")
    there = {what: one for what, one in {"train": "train", **parts}.items() if one and not _is_unlabelled(found[one])}
    return {what: Path(f"{PREFIX}{name}:{one}") for what, one in there.items()}


def dataset_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of one part; a class is told by its name. Raises `UserError` where it can't be had."""
    name, part = _split_name(path)
    found = _load(name)
    part = part or "train"
    if part not in found:
        raise UserError(f"{PREFIX}{name} has no part {part!r}: choose from {', '.join(found)}.")
    kinds = {column: getattr(made, "feature", made) for column, made in found[part].features.items()}
    names = {column: made.names for column, made in kinds.items() if hasattr(made, "int2str")}
    for number, record in enumerate(found[part], start=1):
        told = {column: _named(record[column], known) for column, known in names.items()}
        yield f"row {number} of {part}", {**record, **told}


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


def _is_unlabelled(part: Any) -> bool:
    classes = [column for column, made in part.features.items() if hasattr(made, "int2str")]
    return bool(classes) and len(part) > 0 and all(part[0][column] == UNLABELLED for column in classes)


def _split_name(path: Path) -> tuple[str, str]:
    name, _, part = str(path).removeprefix(PREFIX).partition(":")
    return name, part


def _load(name: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UserError(f"{PREFIX}{name} needs the library datasets: pip install 'isoflop[data]'.") from error
    try:
        return datasets.load_dataset(name)
    except Exception as error:  # the library raises its own, the Hub's, the net's and the file system's
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{PREFIX}{name} can't be had ({why}): check the name, or the way to the net.") from error
