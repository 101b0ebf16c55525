"""What `isoflop laws` prints is complete, narrow enough, and the same facts as its JSON."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from isoflop.cli.app import app
from isoflop.errors import UserError
from isoflop.laws.catalogue import ENTRIES, Entry, text

every_entry = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES.keys())


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["laws", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_list_has_every_key_and_fits_80_columns() -> None:
    lines = printed("ls").splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["key", *ENTRIES]
    assert max(map(len, lines)) <= 80


@every_entry
def test_a_page_fits_80_columns_and_says_everything(entry: Entry) -> None:
    page = text.page(entry)
    body = page.split("@misc")[0]
    assert max(map(len, body.splitlines())) <= 80
    flat = " ".join(page.split())
    for part in (entry.domain, *(paper.citation for paper in entry.papers), *(s.note for s in entry.sets)):
        assert " ".join(part.split()) in flat
    for symbol in (*entry.variables, *entry.parameters):
        assert symbol.meaning in flat
    for published in entry.sets:
        assert f"{entry.key}:{published.source}" in flat


@every_entry
def test_json_is_strict_and_has_the_values_to_the_last_digit(entry: Entry) -> None:
    data = json.loads(json.dumps(text.as_data(entry), allow_nan=False))
    assert data["formula"] == entry.formula
    assert [s["values"] for s in data["sets"]] == [dict(s.values) for s in entry.sets]


def test_show_can_be_held_to_one_set() -> None:
    whole = printed("show", "chinchilla")
    assert "chinchilla:hoffmann2022_tex" in whole
    assert "chinchilla:hoffmann2022_tex" not in printed("show", "chinchilla:besiroglu2024")
    assert json.loads(printed("show", "chinchilla:besiroglu2024", "--json"))["sets"][0]["values"]["E"] == 1.8172
    assert [law["key"] for law in json.loads(printed("ls", "--json"))] == list(ENTRIES)


def test_an_unknown_key_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match="kaplan"):
        CliRunner().invoke(app, ["laws", "show", "kapln"], catch_exceptions=False)
