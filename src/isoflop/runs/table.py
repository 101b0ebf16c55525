"""`Runs`: the table that a law is fitted on, as named numpy columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import UserError

Column = NDArray[Any]

SYMBOLS: Mapping[str, str] = {"N": "params", "D": "tokens", "C": "flops", "L": "loss", "U": "unique_tokens"}
"""The field's symbols, and the words that stand for them at every border (files, flags, JSON)."""


@dataclass(frozen=True)
class Runs:
    """A table of runs: one numpy column of equal length per name; numbers as float64, all else as str.

    A column is asked for by word or by symbol: `runs["params"]` and `runs["N"]` are the same. `notes` says what
    reading repaired or dropped, one sentence each; nothing is dropped without a note. Lists and arrays of any number
    type may be given; they are kept as said. Raises `UserError` where the columns differ in length.
    """

    columns: Mapping[str, Any]
    source: str = "memory"
    notes: tuple[str, ...] = field(default=())
    doubts: tuple[str, ...] = field(default=())
    """Those of the notes that speak against the table: rows that could not be used, units that look wrong."""
    dropped: int = 0
    """How many rows reading left out because they could not be used."""

    def __post_init__(self) -> None:
        columns = {SYMBOLS.get(name, name): _column(values) for name, values in self.columns.items()}
        object.__setattr__(self, "columns", columns)
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise UserError(f"The columns of {self.source} differ in length: {lengths}.")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __contains__(self, name: str) -> bool:
        return SYMBOLS.get(name, name) in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __getitem__(self, name: str) -> Column:
        """The column of that name; raises `UserError` where there is none."""
        word = SYMBOLS.get(name, name)
        if word not in self.columns:
            have = ", ".join(self.columns)
            raise UserError(f"{self.source} has no column {word!r} (it has {have}): name it with --map {name}=COLUMN.")
        column: Column = self.columns[word]
        return column

    def name_of(self, row: int) -> str:
        """How to call the run in `row`: its name, or its place among the rows read where they have none."""
        return str(self.columns["run"][row]) if "run" in self.columns else f"row {row + 1}"

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp], *, note: str = "") -> Runs:
        """The runs selected by a boolean mask or by positions; `note`, if given, is added to the notes."""
        notes = (*self.notes, note) if note else self.notes
        columns = {name: column[rows] for name, column in self.columns.items()}
        return Runs(columns, self.source, notes, self.doubts, self.dropped)


def _column(values: Any) -> Column:
    column = np.asarray(values)
    return column.astype(np.float64) if column.dtype.kind in "biu" or column.dtype == np.float32 else column
