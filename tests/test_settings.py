"""A settings file's mistakes are named by their key, also in sections that may be left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from isoflop.errors import UserError
from isoflop.settings import read_toml, settings_of


@dataclass(frozen=True)
class Engine:
    power: float
    cylinders: int = 4

    def __post_init__(self) -> None:
        if self.power <= 0:
            raise UserError(f"engine.power must be above 0, not {self.power}.")


@dataclass(frozen=True)
class Car:
    engine: Engine
    spare: Engine | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def test_sections_become_dataclasses_and_free_sections_stay_as_they_are() -> None:
    content = {"engine": {"power": 2}, "spare": {"power": 1.5, "cylinders": 2}, "notes": {"any": ["thing"]}}
    assert settings_of(Car, content, source="car.toml") == Car(Engine(2.0), Engine(1.5, 2), {"any": ["thing"]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"engin": {}}, r"car\.toml: unknown key engin; did you mean engine\?"),
        ({"engine": {"powr": 1}}, r"car\.toml: unknown key engine\.powr; did you mean engine\.power\?"),
        ({"engine": {"power": 1}, "spare": {"xyz": 1}}, r"unknown key spare\.xyz; known here: power, cylinders"),
        ({"engine": 3}, r"engine is a section: write \[engine\] and its keys below it"),
        ({}, r"car\.toml: engine is missing"),
        ({"engine": {}}, r"car\.toml: engine\.power is missing"),
        ({"engine": {"power": "much"}}, r"engine\.power = 'much' won't do"),
        ({"engine": {"power": -1}}, r"car\.toml: engine\.power must be above 0, not -1"),
    ],
)
def test_a_mistake_is_named_by_its_key(content: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings_of(Car, content, source="car.toml")


def test_a_file_that_cannot_be_read_says_which_and_why(tmp_path: Path) -> None:
    path = tmp_path / "car.toml"
    with pytest.raises(UserError, match=r"The car file .*car\.toml can't be read \(No such file"):
        read_toml(path, what="car file")
    path.write_text("engine = [")
    with pytest.raises(UserError, match="is not valid TOML"):
        read_toml(path, what="car file")
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(UserError, match=r"is not UTF-8 text \(byte 5\)"):
        read_toml(path, what="car file")
