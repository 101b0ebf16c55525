"""`Runs` holds what it says: columns by word and symbol, numbers as float64, notes that travel along."""

from __future__ import annotations

import numpy as np
import pytest

import isoflop as iso
from isoflop.errors import UserError


def test_columns_are_had_by_word_and_by_symbol_however_they_were_given() -> None:
    runs = iso.Runs({"N": [1, 2], "tokens": np.array([3, 4], dtype=np.int32), "L": np.array([5, 6], dtype=np.float32)})
    assert runs["params"] is runs["N"]
    assert all(runs[name].dtype == np.float64 for name in ("N", "D", "L"))
    assert "D" in runs
    assert "C" not in runs
    assert list(runs) == ["params", "tokens", "loss"]
    assert len(runs) == 2


def test_a_column_that_is_not_there_says_what_is() -> None:
    with pytest.raises(UserError, match=r"memory has no column 'flops' \(it has loss\): name it with --map C=COLUMN"):
        iso.Runs({"loss": [1.0]})["C"]


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(UserError, match="differ in length"):
        iso.Runs({"loss": [1.0], "params": [1.0, 2.0]})


def test_taking_rows_keeps_source_and_notes_and_adds_its_own() -> None:
    runs = iso.Runs({"run": np.array(["a", "b", "c"]), "loss": [3.0, 2.0, 1.0]}, "here", ("first",))
    some = runs.take(np.array([True, False, True]), note="second")
    assert some["loss"].tolist() == [3.0, 1.0]
    assert (some.source, some.notes) == ("here", ("first", "second"))
    assert some.name_of(1) == "c"
    assert iso.Runs({"loss": [1.0]}).name_of(0) == "row 1"
