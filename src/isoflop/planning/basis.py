"""`Basis`: the law and the values that a plan rests on, from a fit or from the literature."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import UserError
from isoflop.fitting.result import Estimate, Fit
from isoflop.fitting.status import Status
from isoflop.laws.catalogue import find
from isoflop.laws.law import Law
from isoflop.laws.lookup import resolve

Array = NDArray[np.float64]

SIZE_NAMES = ("N", "params")
DATA_NAMES = ("D", "tokens")
UNIQUE_NAMES = ("U", "unique_tokens")
COMPUTE_NAMES = ("C", "flops")
TRAIN = 6.0
"""FLOPs per parameter and token of training, forward and backward (Kaplan et al. 2020, section 2.1)."""
LESS_IS_BETTER = ("loss", "L", "error")
"""What a law's target must be to be planned on."""
MOVING = ("supervised_loss",)
"""Columns that are functions of size and data themselves (the distillation law's)."""
FILES = (".json", ".csv", ".tsv", ".txt", ".toml", ".parquet", ".jsonl", ".gz")
"""How files end that may be meant as the file of a fit; no formula ends like that."""
BEYOND = 1e60
"""So many parameters and tokens that only a law's floor is left."""


@dataclass(frozen=True)
class Basis:
    """A law with values, and draws of them where they come from a fit.

    `fixed` are columns that the law reads beside size and data, held at one value. `name` says where the values are
    from; `status` is what a fit says of itself; `fit` is the fit, where there is one.
    """

    law: Law
    values: Mapping[str, float]
    name: str
    draws: Mapping[str, Array] | None = None
    status: tuple[Status, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    fit: Fit | None = field(default=None, repr=False)

    @property
    def size(self) -> str:
        return _one_of(self.law, SIZE_NAMES, "a size (N)")

    @property
    def data(self) -> str:
        return _one_of(self.law, DATA_NAMES, "data (D)")

    @property
    def unique(self) -> str | None:
        """The column of unique tokens, where the law reads one."""
        return next((name for name in UNIQUE_NAMES if name in self.law.variables), None)

    def loss(self, params: ArrayLike, tokens: ArrayLike, *, unique: ArrayLike | None = None) -> Array:
        """The law at sizes and data, in nats per token (or what its target is)."""
        with np.errstate(all="ignore"):
            return self.law.loss(self.values, self.columns(params, tokens, unique))

    def loss_draws(self, params: ArrayLike, tokens: ArrayLike, *, unique: ArrayLike | None = None) -> Array:
        """The law at sizes and data under each draw: shape (draws, ...)."""
        if self.draws is None:
            raise ValueError("a basis from the literature has no draws")
        with np.errstate(all="ignore"):
            return self.law.loss(self.draws, self.columns(params, tokens, unique))

    def measured(
        self, params: float, tokens: float, *, unique: float | None, level: float
    ) -> tuple[Estimate, tuple[Status, ...]]:
        """The loss that one run there will measure, with its interval, and what speaks against believing it."""
        columns = self.columns(params, tokens, unique)
        if self.fit is None:
            return Estimate(float(self.law.loss(self.values, columns)), math.nan, math.nan, level), ()
        found = self.fit.predict(of="run", level=level, **columns)
        return Estimate(found.value, found.low, found.high, level), found.status

    def floor(self) -> float:
        """What the loss tends to as size and data grow without end."""
        return float(self.loss(BEYOND, BEYOND, unique=BEYOND))

    def columns(self, params: ArrayLike, tokens: ArrayLike, unique: ArrayLike | None) -> dict[str, Any]:
        """The columns that the law reads; unique tokens are all tokens unless given, compute is 6 N D."""
        found: dict[str, Any] = {**self.fixed, self.size: params, self.data: tokens}
        if self.unique is not None and self.unique not in self.fixed:
            found[self.unique] = tokens if unique is None else np.broadcast_to(unique, np.shape(tokens))
        for name in COMPUTE_NAMES:
            if name in self.law.variables and name not in self.fixed:
                found[name] = TRAIN * np.asarray(params, dtype=np.float64) * np.asarray(tokens, dtype=np.float64)
        return found


def basis_of(source: Fit | Basis | str | Path, *, fixed: Mapping[str, Any] | None = None) -> Basis:
    """What to plan on: a `Fit`, the JSON file of one, a published set ("chinchilla:besiroglu2024"), or a `Basis`.

    `fixed` gives values to columns other than size, data and unique tokens. Raises `UserError` where a text names no
    values, where the law lacks a size or a data variable, or reads a column without a value.
    """
    if isinstance(source, Basis):
        basis = source
    elif isinstance(source, Fit):
        basis = _of_fit(source, "fit", fixed or {})
    elif isinstance(source, Path) or names_a_file(source):
        basis = _of_fit(read_fit(Path(source)), str(source), fixed or {})
    else:
        law, values = resolve(source)
        if values is None:
            raise UserError(
                f"{source!r} is a law without values: name one of its published sets (see `isoflop laws show "
                f"{source}`), or fit it first."
            )
        _refuse_what_is_no_loss(source, find(source.partition(":")[0].strip()).target.name)
        basis = Basis(law, values, source, fixed=fixed or {})
    moving = [name for name in MOVING if name in basis.law.variables]
    if moving:
        raise UserError(
            f"{basis.name} reads {moving[0]}, which changes with size and data, so no one value of it can be planned "
            f"on: fit a formula that has it written out in {basis.size} and {basis.data}, such as (E + A/N**alpha + "
            "B/D**beta) with the numbers of your supervised fit."
        )
    strange = [name for name in basis.fixed if name not in basis.law.variables]
    if strange:
        reads = ", ".join(basis.law.variables)
        raise UserError(f"{basis.name} reads {reads} and no {strange[0]}: leave out the value for {strange[0]}.")
    known = {basis.size, basis.data, basis.unique, *COMPUTE_NAMES, *basis.fixed}
    missing = [name for name in basis.law.variables if name not in known]
    if missing:
        raise UserError(f"The law also reads {', '.join(missing)}: give it a value, as in {missing[0]}=8.")
    return basis


def _of_fit(fit: Fit, name: str, fixed: Mapping[str, Any]) -> Basis:
    _refuse_what_is_no_loss(name, fit.target)
    return Basis(fit.law, fit.values, name, dict(fit.draw_values), fit.status, fixed, fit)


def _refuse_what_is_no_loss(name: str, target: str) -> None:
    if target not in LESS_IS_BETTER:
        raise UserError(f"{name} predicts {target}, and a plan makes a loss small: plan on a law of the loss.")


def names_a_file(source: str) -> bool:
    """Whether `source` is a path, and not a law or a formula: something stands there, or it ends as a file does."""
    return os.path.exists(source) or Path(source).suffix.lower() in FILES


def read_fit(path: Path) -> Fit:
    """The fit in a JSON file. Raises `UserError` where it is none."""
    try:
        text = path.read_text(encoding="utf-8")
        return Fit.from_json(text)
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: name the file of a fit, such as {path / 'fit.json'}.") from None
    except OSError as error:
        raise UserError(
            f"{path} can't be read as a fit ({error.strerror}): name a file that `isoflop fit --out` wrote."
        ) from None
    except (UnicodeDecodeError, UserError) as error:
        why = "it is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
        raise UserError(
            f"{path} can't be read as a fit ({why}): name a file that `isoflop fit RUNS --out` wrote."
        ) from None


def _one_of(law: Law, names: tuple[str, ...], what: str) -> str:
    for name in names:
        if name in law.variables:
            return name
    raise UserError(
        f"{law.formula!r} has no variable for {what}, so compute can't be split: choose a law with N and D."
    )
