"""The methods by the name that `--method` takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from isoflop.adaptation.methods.low_rank import Lora
from isoflop.adaptation.methods.method import Method
from isoflop.adaptation.methods.prefixes import PrefixTuning
from isoflop.adaptation.methods.prompts import PromptTuning
from isoflop.adaptation.methods.whole import Full, HeadOnly
from isoflop.errors import UserError

_ALL: tuple[Method, ...] = (
    Full(),
    HeadOnly(),
    Lora(),
    Lora(decomposed=True),
    PrefixTuning(),
    PromptTuning(),
    PromptTuning(encoded=True),
)
METHODS: Mapping[str, Method] = {one.name: one for one in _ALL}


def method_named(
    name: str, *, rank: int | None = None, targets: tuple[str, ...] = (), length: int | None = None
) -> Method:
    """The method as a value. Raises `UserError` for an unknown one, and for settings that it does not have."""
    if name not in METHODS:
        raise UserError(f"No method is called {name!r}: choose one of {', '.join(METHODS)}.")
    usual = METHODS[name]
    if isinstance(usual, Lora):
        if length is not None:
            raise UserError(f"--prompt-length is for prompts and prefixes, not for {name}: leave it out.")
        return dataclasses.replace(usual, rank=usual.rank if rank is None else rank, targets=targets or usual.targets)
    if rank is not None or targets:
        raise UserError(f"--rank and --targets are for lora and dora, not for {name}: leave them out.")
    if isinstance(usual, PrefixTuning | PromptTuning):
        return usual if length is None else dataclasses.replace(usual, length=length)
    if length is not None:
        raise UserError(f"--prompt-length is for prompts and prefixes, not for {name}: leave it out.")
    return usual
