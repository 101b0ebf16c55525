"""Writing a formula's tree: as a formula again, as a formula with numbers in it, as LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from isoflop.laws.parsing import Binary, Call, Name, Negative, Node, Number

_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}
_NEGATIVE, _ATOM = 3, 5
_GREEK = frozenset(
    (
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "zeta",
        "eta",
        "theta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "pi",
        "rho",
        "sigma",
        "tau",
        "phi",
        "chi",
        "psi",
        "omega",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Xi",
        "Pi",
        "Sigma",
        "Phi",
        "Psi",
        "Omega",
    )
)


def text_of(node: Node) -> str:
    """The formula of `node`, with no more brackets than it needs."""
    return _write(node, _plain_name)


def text_with_numbers(node: Node, numbers: Mapping[str, str]) -> str:
    """The formula of `node` with the text in `numbers` in place of each name that has one."""
    return _write(node, lambda name: numbers.get(name.name, _plain_name(name)))


def latex_of(node: Node) -> str:
    """LaTeX for `node`, terms in the order in which the author wrote them."""
    return _latex(node)


def binding(node: Node) -> int:
    """How tightly the outermost operation of `node` binds; larger is tighter."""
    if isinstance(node, Binary):
        return _BINDING[node.operator]
    if isinstance(node, Number) and node.value < 0:
        return _NEGATIVE
    return _NEGATIVE if isinstance(node, Negative) else _ATOM


def number_text(value: float) -> str:
    """The shortest text that reads back as `value`, without a decimal point where it is whole and short."""
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e6 else repr(value)


def _plain_name(name: Name) -> str:
    return name.name if name.index is None else f"{name.name}[{name.index}]"


def _write(node: Node, name_text: Callable[[Name], str]) -> str:
    if isinstance(node, Number):
        return number_text(node.value)
    if isinstance(node, Name):
        return name_text(node)
    if isinstance(node, Negative):
        return "-" + _bracketed(node.operand, _NEGATIVE, name_text)
    if isinstance(node, Call):
        return f"{node.function}({', '.join(_write(one, name_text) for one in node.arguments)})"
    strength = _BINDING[node.operator]
    # ** groups to the right, the others to the left: the other side needs brackets at equal strength.
    left = _bracketed(node.left, strength + (node.operator == "**"), name_text)
    right = _bracketed(node.right, _NEGATIVE if node.operator == "**" else strength + 1, name_text)
    return f"{left}**{right}" if node.operator == "**" else f"{left} {node.operator} {right}"


def _bracketed(node: Node, at_least: int, name_text: Callable[[Name], str]) -> str:
    text = _write(node, name_text)
    # A name may stand for a negative number here, which needs brackets everywhere but in front and in an exponent.
    negative = isinstance(node, Name) and text.startswith("-") and at_least not in (_BINDING["+"], _NEGATIVE)
    return f"({text})" if binding(node) < at_least or negative else text


def _latex(node: Node) -> str:
    if isinstance(node, Number):
        return _latex_number(node.value)
    if isinstance(node, Name):
        return _latex_name(node)
    if isinstance(node, Negative):
        return "-" + _latex_bracketed(node.operand, _NEGATIVE)
    if isinstance(node, Call):
        return _latex_call(node)
    left, right = node.left, node.right
    if node.operator == "/":
        return rf"\frac{{{_latex(left)}}}{{{_latex(right)}}}"
    if node.operator == "**":
        return f"{_latex_bracketed(left, _ATOM)}^{{{_latex(right)}}}"
    if node.operator == "*":
        return rf"{_latex_bracketed(left, 2)} {_latex_bracketed(right, 3)}"
    return f"{_latex(left)} {node.operator} {_latex_bracketed(right, 2)}"


def _latex_bracketed(node: Node, at_least: int) -> str:
    is_fraction = isinstance(node, Binary) and node.operator == "/"
    loose = binding(node) < at_least and not (is_fraction and at_least < _ATOM)
    return rf"\left({_latex(node)}\right)" if loose else _latex(node)


def _latex_number(value: float) -> str:
    text = number_text(value)
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    return rf"{mantissa} \times 10^{{{int(exponent)}}}"


def _latex_name(name: Name) -> str:
    stem, _, subscript = name.name.partition("_")
    parts = [part for part in (*subscript.split("_"), name.index or "") if part]
    letter = rf"\{stem}" if stem in _GREEK else stem if len(stem) == 1 else rf"\mathrm{{{stem}}}"
    subscripts = [
        rf"\{part}" if part in _GREEK else part if len(part) == 1 else rf"\mathrm{{{part}}}" for part in parts
    ]
    return f"{letter}_{{{','.join(subscripts)}}}" if subscripts else letter


def _latex_call(node: Call) -> str:
    inside = ", ".join(_latex(one) for one in node.arguments)
    if node.function == "sqrt":
        return rf"\sqrt{{{inside}}}"
    if node.function == "abs":
        return rf"\left|{inside}\right|"
    name = r"\sigma" if node.function == "sigmoid" else rf"\{node.function}"
    return rf"{name}\left({inside}\right)"
