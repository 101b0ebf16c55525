"""What the catalogue holds: a law of the literature as data, with where every number comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from isoflop.errors import UserError
from isoflop.laws.catalogue.paper import Paper

Range = tuple[float, float]


@dataclass(frozen=True)
class Symbol:
    """One name of a formula: what it stands for and in which unit ("1" where it has none)."""

    name: str
    meaning: str
    unit: str


@dataclass(frozen=True)
class Constant(Symbol):
    """A parameter of a law: a symbol whose value is fitted, and the range in which a fit may look for it."""

    low: float = 0.0
    high: float = math.inf


@dataclass(frozen=True)
class PublishedSet:
    """The values that one paper gives to the parameters of a law.

    `where` is the table, equation or page that has them. `verified` says in plain words against what the values were
    checked when they were entered. `note` says what a user must know: the convention for N, the data, a conversion.
    `fitted` is the range of each quantity (N, D, C) over which the values were fitted, where the paper gives one.
    """

    source: str
    values: Mapping[str, float]
    paper: Paper
    where: str
    verified: str
    note: str = ""
    fitted: Mapping[str, Range] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A law of the literature: its formula, what each symbol means, where it holds, who fitted it to what.

    `formula` is in the syntax that a user writes a law in; `columns` are the columns that it reads beside N, D, C, U
    and x; `equation` is the paper's own way of writing it where that differs. `where` is the equation in the paper.
    """

    key: str
    name: str
    formula: str
    target: Symbol
    variables: tuple[Symbol, ...]
    parameters: tuple[Constant, ...]
    domain: str
    paper: Paper | None
    """None where the source is no paper."""
    where: str
    verified: str
    sets: tuple[PublishedSet, ...] = ()
    equation: str = ""
    note: str = ""

    @property
    def ranges(self) -> dict[str, Range]:
        """The range of every parameter, by name."""
        return {parameter.name: (parameter.low, parameter.high) for parameter in self.parameters}

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the variables, in the order in which the entry describes them."""
        return tuple(variable.name for variable in self.variables)

    @property
    def papers(self) -> tuple[Paper, ...]:
        """The paper of the law, then those of its published sets, each once."""
        of_law = [] if self.paper is None else [self.paper]
        return tuple(dict.fromkeys([*of_law, *(published.paper for published in self.sets)]))

    @property
    def source(self) -> str:
        """The first author and year, or that there is no paper."""
        return "no paper" if self.paper is None else self.paper.short

    def published(self, source: str) -> PublishedSet:
        """The set of values named `source`; a UserError says which there are."""
        for published in self.sets:
            if published.source == source:
                return published
        have = ", ".join(f"{self.key}:{published.source}" for published in self.sets)
        remedy = f"choose one of {have}" if have else f"{self.key} has none, so use the key alone and fit it"
        raise UserError(f"The law {self.key!r} has no published set {source!r}: {remedy}.")
