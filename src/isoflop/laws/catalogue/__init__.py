"""The published laws by key, with their values and where each value comes from."""

from __future__ import annotations

import difflib

from isoflop.errors import UserError
from isoflop.laws.catalogue import (
    adaptation,
    architecture,
    curves,
    dimension,
    downstream,
    hyperparameters,
    precision,
    pretraining,
    repetition,
    schedule,
    vocabulary,
)
from isoflop.laws.catalogue.entry import Constant, Entry, PublishedSet, Symbol
from isoflop.laws.catalogue.paper import Paper

__all__ = ["ENTRIES", "Constant", "Entry", "Paper", "PublishedSet", "Symbol", "find"]

_THEMES = (
    pretraining,
    repetition,
    curves,
    downstream,
    architecture,
    precision,
    vocabulary,
    adaptation,
    schedule,
    hyperparameters,
    dimension,
)

ENTRIES: dict[str, Entry] = {entry.key: entry for theme in _THEMES for entry in theme.ENTRIES}
"""Every entry by its key, in the order in which the command line lists them."""


def find(key: str) -> Entry:
    """The entry with this key; a UserError names the nearest keys."""
    if key in ENTRIES:
        return ENTRIES[key]
    near = difflib.get_close_matches(key.lower(), ENTRIES, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`isoflop laws ls` lists them."
    raise UserError(f"There is no law {key!r} in the catalogue: {hint}")
