"""What part each parameter plays in a formula, read off its tree: which enter linearly, and the ranges that follow."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from isoflop.laws.parsing import Binary, Call, Name, Negative, Node, Number, names_in

Role = Literal["floor", "coefficient", "slope", "exponent", "scale", "location", "shape"]
"""floor: added on its own, E; coefficient: multiplies a term with other parameters in it, A; slope: multiplies a term
without any; exponent: in a power; scale: stands in a ratio with variables, R in exp(-x / R); location: is subtracted
from variables, m in (log(x) - m)**2; shape: any other."""

MAX_EXPONENT = 3.0
DEFAULT_RANGES: dict[Role, tuple[float, float]] = {
    "floor": (0.0, math.inf),
    "coefficient": (0.0, math.inf),
    "slope": (-math.inf, math.inf),
    "exponent": (0.0, MAX_EXPONENT),
    "scale": (0.0, math.inf),
    "location": (-math.inf, math.inf),
    "shape": (0.0, math.inf),
}
_NOT_LINEAR = 99


@dataclass(frozen=True)
class Part:
    """The role of one parameter, the range that it has unless the user gives one, and for a scale its companion."""

    role: Role
    low: float
    high: float
    companion: Node | None = None
    """For a scale or location: the expression of variables that it is compared with, so that data say where it is."""


def linear_parameters(node: Node, parameters: Collection[str]) -> tuple[str, ...]:
    """The largest set, taken greedily in order of writing, in which the formula is linear jointly."""
    chosen: list[str] = []
    for name in parameters:
        if _degree(node, {*chosen, name}) <= 1:
            chosen.append(name)
    return tuple(chosen)


def basis_of(node: Node, linear: Collection[str]) -> tuple[Node, tuple[Node, ...]]:
    """(offset, one function per linear parameter), so that the law is offset + sum of parameter * function."""
    offset = simplified(_with_values(node, dict.fromkeys(linear, 0.0)))
    return offset, tuple(simplified(_coefficient(node, name)) for name in linear)


def parts_of(node: Node, parameters: Collection[str], linear: Collection[str]) -> dict[str, Part]:
    """The `Part` that each of `parameters` plays in `node`."""
    _, functions = basis_of(node, linear)
    all_fixed = set(parameters) == set(linear) and not any(_has(one, parameters) for one in functions)
    parts: dict[str, Part] = {}
    for name, function in zip(linear, functions, strict=True):
        constant = not any(True for _ in names_in(function))
        role: Role = "coefficient" if _has(function, parameters) else "floor" if constant else "slope"
        parts[name] = _part("slope" if all_fixed else role)
    for name in parameters:
        if name not in linear:
            parts[name] = _nonlinear_part(node, name, parameters)
    return {name: parts[name] for name in parameters}


def simplified(node: Node) -> Node:
    """`node` without the sums, products and powers that zeros and ones make idle."""
    if isinstance(node, Negative):
        operand = simplified(node.operand)
        return operand if _is(operand, 0.0) else Negative(operand)
    if isinstance(node, Call):
        return Call(node.function, tuple(simplified(one) for one in node.arguments))
    if not isinstance(node, Binary):
        return node
    left, right = simplified(node.left), simplified(node.right)
    if node.operator in "+-" and _is(right, 0.0):
        return left
    if node.operator == "+" and _is(left, 0.0):
        return right
    if node.operator == "-" and _is(left, 0.0):
        return Negative(right)
    if (node.operator == "*" and (_is(left, 0.0) or _is(right, 0.0))) or (node.operator == "/" and _is(left, 0.0)):
        return Number(0.0)
    if node.operator == "*" and _is(left, 1.0):
        return right
    return left if node.operator in ("*", "/", "**") and _is(right, 1.0) else Binary(node.operator, left, right)


def _is(node: Node, value: float) -> bool:
    return isinstance(node, Number) and node.value == value


def _has(node: Node, names: Collection[str]) -> bool:
    return any(name.name in names for name in names_in(node))


def _part(role: Role, companion: Node | None = None) -> Part:
    return Part(role, *DEFAULT_RANGES[role], companion)


def _with_values(node: Node, values: dict[str, float]) -> Node:
    if isinstance(node, Name):
        return Number(values[node.name]) if node.name in values else node
    if isinstance(node, Negative):
        return Negative(_with_values(node.operand, values))
    if isinstance(node, Binary):
        return Binary(node.operator, _with_values(node.left, values), _with_values(node.right, values))
    if isinstance(node, Call):
        return Call(node.function, tuple(_with_values(one, values) for one in node.arguments))
    return node


def _coefficient(node: Node, name: str) -> Node:
    """What multiplies `name` in a formula that is linear in it."""
    if isinstance(node, Name) and node.name == name:
        return Number(1.0)
    if not _has(node, {name}):
        return Number(0.0)
    if isinstance(node, Negative):
        return Negative(_coefficient(node.operand, name))
    assert isinstance(node, Binary)  # a function or power of `name` would not be linear
    if node.operator in "+-":
        return Binary(node.operator, _coefficient(node.left, name), _coefficient(node.right, name))
    if node.operator == "*" and _has(node.right, {name}):
        return Binary("*", node.left, _coefficient(node.right, name))
    return Binary(node.operator, _coefficient(node.left, name), node.right)


def _degree(node: Node, names: Collection[str]) -> int:
    """The degree of `node` as a polynomial in `names`, large where it is none."""
    if isinstance(node, Name):
        return int(node.name in names)
    if isinstance(node, Negative):
        return _degree(node.operand, names)
    if isinstance(node, Number) or not _has(node, names):
        return 0
    if isinstance(node, Call):
        return _NOT_LINEAR
    left, right = _degree(node.left, names), _degree(node.right, names)
    if node.operator in "+-":
        return max(left, right)
    if node.operator == "*":
        return left + right
    if node.operator == "/":
        return left if right == 0 else _NOT_LINEAR
    return _NOT_LINEAR


def _nonlinear_part(node: Node, name: str, parameters: Collection[str]) -> Part:
    for power in _powers(node):
        if _has(power.right, {name}):
            rises_freely = isinstance(power.left, Name) and not _falls(node, power)
            return Part("exponent", -MAX_EXPONENT if rises_freely else 0.0, MAX_EXPONENT)
    compared = _compared(node, name, parameters)
    if compared is not None:
        return _part("location", compared)
    companion = _companion(node, name, parameters)
    return _part("shape") if companion is None else _part("scale", companion)


def _powers(node: Node) -> Iterator[Binary]:
    if isinstance(node, Binary):
        if node.operator == "**":
            yield node
        yield from _powers(node.left)
        yield from _powers(node.right)
    elif isinstance(node, Negative):
        yield from _powers(node.operand)
    elif isinstance(node, Call):
        for argument in node.arguments:
            yield from _powers(argument)


def _falls(node: Node, power: Binary) -> bool:
    """Whether `power` is divided by, or has a minus in its exponent: its sign is then written in the formula."""
    if isinstance(power.right, Negative):
        return True
    if isinstance(node, Binary) and node.operator == "/" and any(one is power for one in _powers(node.right)):
        return True
    if isinstance(node, Binary):
        return _falls(node.left, power) or _falls(node.right, power)
    if isinstance(node, Negative):
        return _falls(node.operand, power)
    return isinstance(node, Call) and any(_falls(one, power) for one in node.arguments)


def _compared(node: Node, name: str, parameters: Collection[str]) -> Node | None:
    """The expression of variables alone that `name` is subtracted from, or that is subtracted from it."""
    if isinstance(node, Binary) and node.operator == "-":
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(one, Name) and one.name == name and _has_variable(other, parameters):
                return None if _has(other, parameters) else other
    found = (_compared(child, name, parameters) for child in _children(node))
    return next((one for one in found if one is not None), None)


def _companion(node: Node, name: str, parameters: Collection[str]) -> Node | None:
    """The variables that share a product or quotient with `name`, arranged to have its dimension."""
    if isinstance(node, Binary) and node.operator in ("*", "/"):
        factors = list(_factors(node, 1))
        own = [power for factor, power in factors if isinstance(factor, Name) and factor.name == name]
        others = [(f, p) for f, p in factors if _has_variable(f, parameters) and not _has(f, parameters)]
        if own and others:
            return _product_of([(factor, -power * own[0]) for factor, power in others])
    found = (_companion(child, name, parameters) for child in _children(node))
    return next((one for one in found if one is not None), None)


def _children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Binary):
        return (node.left, node.right)
    if isinstance(node, Negative):
        return (node.operand,)
    return node.arguments if isinstance(node, Call) else ()


def _has_variable(node: Node, parameters: Collection[str]) -> bool:
    return any(name.name not in parameters for name in names_in(node))


def _factors(node: Node, power: int) -> Iterator[tuple[Node, int]]:
    if isinstance(node, Binary) and node.operator in ("*", "/"):
        yield from _factors(node.left, power)
        yield from _factors(node.right, power if node.operator == "*" else -power)
    elif isinstance(node, Negative):
        yield from _factors(node.operand, power)
    else:
        yield node, power


def _product_of(factors: list[tuple[Node, int]]) -> Node:
    product: Node = Number(1.0)
    for factor, power in factors:
        product = Binary("*" if power > 0 else "/", product, factor)
    return simplified(product)
