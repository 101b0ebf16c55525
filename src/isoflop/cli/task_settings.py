"""Settings of a task as they are typed: `--option NAME=VALUE`."""

from __future__ import annotations

from typing import Any

from isoflop.errors import UserError


def task_settings(options: list[str], text: str | None, label: str | None) -> dict[str, Any]:
    """The task's settings by name, a list where one is given again; `--text` and `--label` are short for two."""
    found: dict[str, Any] = {name: value for name, value in (("text", text), ("label", label)) if value is not None}
    for one in options:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise UserError(f"--option is {one!r}: write NAME=VALUE.")
        name = name.replace("-", "_")
        found[name] = [*_listed(found[name]), value] if name in found else value
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
