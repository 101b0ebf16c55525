"""The list of verbs can be read to its end."""

from __future__ import annotations

import sys

import pytest

from isoflop.cli import main


@pytest.mark.parametrize("group", [[], ["runs"], ["laws"], ["data"]])
def test_the_list_of_verbs_gives_whole_sentences_in_eighty_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], group: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["isoflop", *group, "--help"])
    with pytest.raises(SystemExit):
        main()
    text = capsys.readouterr().out
    verbs = text.partition("Commands:")[2]
    assert verbs.rstrip().endswith(".")
    assert "..." not in verbs
    assert max(map(len, text.splitlines())) <= 80
