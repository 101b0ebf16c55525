"""`Law`: a scaling law, which is its formula; everything else follows from that."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import UserError
from isoflop.laws.limits import Endless, limit
from isoflop.laws.parsing import Node, names_in, parse, point_at
from isoflop.laws.program import argument_names, columns_for, lowered, numpy_function, symbols
from isoflop.laws.roles import Part, Role, linear_parameters, parts_of
from isoflop.laws.statements import Parsed, statements_of
from isoflop.laws.writing import latex_of, text_of

Array = NDArray[np.float64]

VARIABLES = frozenset(
    (
        "N",
        "D",
        "C",
        "U",
        "L",
        "x",
        "params",
        "tokens",
        "flops",
        "unique_tokens",
        "loss",
        "lr",
        "batch",
        "epochs",
        "step",
        "steps",
        "seconds",
        "width",
        "depth",
        "vocab",
        "sequence_length",
        "experts",
        "granularity",
        "sparsity",
        "bits",
    )
)
"""Names that are columns of runs in any formula; others are added with `Law(..., variables=(...))`."""


@dataclass(frozen=True)
class Parameter:
    """A number that fitting finds: its name, range, the part that it plays, and the column that it is indexed by."""

    name: str
    low: float
    high: float
    index: str | None = None
    role: Role = "shape"

    @property
    def held(self) -> bool:
        """Whether it has one value only, so that nothing is fitted."""
        return self.low == self.high


@dataclass(frozen=True, init=False, repr=False)
class Law:
    """A scaling law, such as `Law("E + A / N**alpha + B / D**beta")`.

    `variables` adds names to those that are columns anyway (`VARIABLES`); each further keyword gives a parameter the
    range that it may not leave, `Law(formula, alpha=(0.01, 1.5))`, or the value that it is held at, `Law(formula,
    E=1.8)`. `name[column]` is one parameter per value of that column. Raises `UserError` where the formula can't be
    read (with a caret under the character) or a range is wrong.
    """

    formula: str
    variables: tuple[str, ...]
    """The columns that the law reads, in the order of the formula."""
    ranges: tuple[tuple[str, float, float], ...]
    """The ranges that were given, by name; both ends are the same where a parameter is held."""

    def __init__(self, formula: str, *, variables: Sequence[str] = (), **ranges: tuple[float, float] | float) -> None:
        tree = parse(formula)
        known = VARIABLES | set(variables)
        used = tuple(dict.fromkeys(one.name for one in names_in(tree) if one.name in known))
        object.__setattr__(self, "formula", formula.strip())
        object.__setattr__(self, "variables", used)
        object.__setattr__(self, "ranges", tuple(sorted((n, *_range(n, given)) for n, given in ranges.items())))
        self.__dict__["tree"] = tree
        self._check(formula, ranges)

    def __repr__(self) -> str:
        given = ((name, f"{low:g}" if low == high else f"({low:g}, {high:g})") for name, low, high in self.ranges)
        ranges = "".join(f", {name}={text}" for name, text in given)
        return f"Law({self.formula!r}{ranges})"

    @cached_property
    def tree(self) -> Node:
        """The formula's tree."""
        return parse(self.formula)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What is fitted, in the order of the formula; the range is the one given or follows from the role."""
        given = {name: (low, high) for name, low, high in self.ranges}
        index = {name.name: name.index for name in names_in(self.tree)}
        found = []
        for name, part in self.parts.items():
            low, high = given.get(name, (part.low, part.high))
            found.append(Parameter(name, low, high, index[name], part.role))
        return tuple(found)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return tuple(one.name for one in self.parameters)

    @cached_property
    def linear(self) -> tuple[str, ...]:
        """The parameters in which the law is jointly linear, so that the best values follow from the others."""
        return linear_parameters(self.tree, self._parameter_names)

    @cached_property
    def parts(self) -> dict[str, Part]:
        """The part that each parameter plays."""
        return parts_of(self.tree, self._parameter_names, self.linear)

    @cached_property
    def derivatives(self) -> Parsed:
        """Value, gradient and Hessian over the symbols of `isoflop.laws.program`, sub-expressions shared."""
        symbol = symbols(self.names, self.variables)
        arguments = argument_names(self.names, self.variables)
        return statements_of(lowered(self.tree, symbol), arguments, len(self.names))

    def latex(self) -> str:
        """The formula in LaTeX."""
        return latex_of(self.tree)

    def limits(self) -> dict[str, str]:
        """What the law tends to as each variable grows without end ("oo" for infinity), where rules can tell.

        Keys are the variables, and "N, D" for all of them in turn; values are formulas.
        """
        lows = {one.name: one.low for one in self.parameters}
        found: dict[str, str] = {}
        for which in [(name,) for name in self.variables] + ([self.variables] if len(self.variables) > 1 else []):
            node: Any = self.tree
            for name in which:
                node = limit(node, name, lows) if node is not None and not isinstance(node, Endless) else node
            if node is not None:
                oo = "oo" if node == Endless(1) else "-oo"
                found[", ".join(which)] = oo if isinstance(node, Endless) else text_of(node)
        return found

    def loss(self, values: Mapping[str, ArrayLike], columns: Mapping[str, ArrayLike]) -> Array:
        """The law at each row of `columns`: shape (rows,), or (draws, rows) where `values` are arrays of draws.

        An indexed parameter has one value per group: `values["E[c4]"]`. Raises `UserError` where one is missing.
        """
        (result,) = self._value(*self._arguments(values, columns))
        return self._shaped(result, values, columns)

    def gradient(self, values: Mapping[str, ArrayLike], columns: Mapping[str, ArrayLike]) -> dict[str, Array]:
        """d law / d parameter at each row, by parameter, in the shape of `loss`; an indexed one by a row's own."""
        results = self._gradient(*self._arguments(values, columns))
        return {n: self._shaped(one, values, columns) for n, one in zip(self.names, results, strict=True)}

    @cached_property
    def _parameter_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n.name for n in names_in(self.tree) if n.name not in self.variables))

    @cached_property
    def _value(self) -> Any:
        tree = lowered(self.tree, symbols(self.names, self.variables))
        return numpy_function(argument_names(self.names, self.variables), (), (tree,))

    @cached_property
    def _gradient(self) -> Any:
        found = self.derivatives
        return numpy_function(argument_names(self.names, self.variables), found.lets, found.gradient)

    def _arguments(self, values: Mapping[str, ArrayLike], columns: Mapping[str, ArrayLike]) -> list[Array]:
        missing = [name for name in self.variables if name not in columns]
        if missing:
            raise UserError(f"The law reads {', '.join(missing)}, which is not given: pass a value for it.")
        given = {name: np.asarray(columns[name], dtype=np.float64) for name in self.variables}
        return [*(self._spread(one, values, columns) for one in self.parameters), *columns_for(given)]

    def _spread(self, one: Parameter, values: Mapping[str, ArrayLike], columns: Mapping[str, ArrayLike]) -> Array:
        """Values of one parameter, shaped so that they broadcast against rows."""
        if one.index is None:
            if one.name not in values:
                raise UserError(f"The law has a parameter {one.name}, which has no value.")
            return np.asarray(values[one.name], dtype=np.float64)[..., None]
        if one.index not in columns:
            raise UserError(f"The law has one {one.name} per {one.index}: say which {one.index} it is for.")
        per_row = []
        for level in np.atleast_1d(np.asarray(columns[one.index])):
            name = f"{one.name}[{level}]"
            if name not in values:
                raise UserError(f"There is no {name}: {one.index} {str(level)!r} was not among the runs fitted.")
            per_row.append(np.asarray(values[name], dtype=np.float64))
        return np.stack(per_row, axis=-1)

    def _shaped(self, result: Any, values: Mapping[str, ArrayLike], columns: Mapping[str, ArrayLike]) -> Array:
        draws = np.broadcast_shapes(*(np.shape(one) for one in values.values())) if values else ()
        used = [*self.variables, *{one.index for one in self.parameters if one.index is not None}]
        rows = np.broadcast_shapes(*(np.shape(columns[name]) for name in used))
        return np.broadcast_to(result, (*draws, *(rows or (1,)))).reshape((*draws, *rows))

    def _check(self, formula: str, ranges: Mapping[str, Any]) -> None:
        index: dict[str, str | None] = {}
        for one in names_in(self.tree):
            if one.name in self.variables and one.index is not None:
                raise point_at(formula, one.at, f"{one.name} is a column of the runs, so it can't be indexed.")
            if index.setdefault(one.name, one.index) != one.index:
                raise point_at(formula, one.at, f"{one.name} is written both with and without its index.")
        if not self.variables:
            raise UserError(
                f"The formula {self.formula!r} reads no column of the runs: write one of N, D, C, U, x, or a column's "
                "name, and list names of your own in variables=(...)."
            )
        unknown = sorted(set(ranges) - set(self._parameter_names))
        if unknown:
            have = ", ".join(self._parameter_names) or "none"
            raise UserError(
                f"A range is given for {', '.join(unknown)}, which is no parameter of the law (it has {have})."
            )


def _range(name: str, given: Any) -> tuple[float, float]:
    try:
        low, high = (float(one) for one in (given if isinstance(given, Iterable) else (given, given)))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"The range of {name} must be a pair such as (0, 3), or a number to hold it at, not {given!r}."
        ) from error
    if math.isnan(low) or math.isnan(high) or low > high or (low == high and math.isinf(low)):
        raise UserError(f"The range of {name} is ({low:g}, {high:g}): its first number must be below its second.")
    return low, high
