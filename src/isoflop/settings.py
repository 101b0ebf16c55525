"""Settings files: TOML that is checked against a dataclass, with every mistake named by its key."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from isoflop.errors import UserError

T = TypeVar("T")


def read_toml(path: Path, *, what: str) -> dict[str, Any]:
    """The content of `path`, which `what` names in an error ("study file"). Raises `UserError` where it is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The {what} {path} can't be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The {what} {path} is not UTF-8 text (byte {error.start}).") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The {what} {path} is not valid TOML: {error}.") from error


def settings_of(kind: type[T], content: dict[str, Any], *, source: str) -> T:
    """`content`, as it stands in a file called `source`, as a `kind`: a dataclass whose sections are dataclasses.

    Raises `UserError` that names the key for anything unknown, missing or of the wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    _refuse_unknown(kind, content, source, "")
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UserError):
            raise UserError(f"{source}: {cause}") from error
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise UserError(f"{source}: {key} is missing.") from error
        if first["type"] == "tuple_type":
            raise UserError(f"{source}: {key} is a list: write {key} = [{json.dumps(first['input'])}].") from error
        raise UserError(f"{source}: {key} = {first['input']!r} won't do: {first['msg'].lower()}.") from error


def _refuse_unknown(kind: Any, content: dict[str, Any], source: str, prefix: str) -> None:
    hints = typing.get_type_hints(kind)
    known = {one.name: _section(hints[one.name]) for one in dataclasses.fields(kind)}
    for key, value in content.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known here: {', '.join(known)}."
            raise UserError(f"{source}: unknown key {prefix}{key}; {hint}")
        section = known[key]
        if section is not None:
            listed = _is_list(hints[key])
            if listed and isinstance(value, list) and all(isinstance(one, dict) for one in value):
                for one in value:
                    _refuse_unknown(section, one, source, f"{prefix}{key}.")
                continue
            if listed:
                raise UserError(f"{source}: {prefix}{key} is a list of sections: write [[{prefix}{key}]] for each.")
            if not isinstance(value, dict):
                raise UserError(f"{source}: {key} is a section: write [{key}] and its keys below it.")
            _refuse_unknown(section, value, source, f"{prefix}{key}.")


def _section(hint: Any) -> Any:
    """The dataclass that a field holds, or None; `X | None` holds an X, and so does `tuple[X, ...]`."""
    kinds = [typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind for kind in _kinds(hint)]
    return next((kind for kind in kinds if dataclasses.is_dataclass(kind)), None)


def _is_list(hint: Any) -> bool:
    return any(typing.get_origin(kind) is tuple for kind in _kinds(hint))


def _kinds(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
