"""A law's formula as MathML, which every current browser sets without a script or a font of its own."""

from __future__ import annotations

import ast
import html

from isoflop.report import wording

_SIGNS = {ast.Add: "+", ast.Sub: "−"}


def mathml(formula: str, *, of: str = "L") -> str:
    """`L = formula`, or of another quantity, as MathML; what is more than arithmetic is shown as it was written."""
    try:
        body = _row(ast.parse(formula, mode="eval").body)
    except (SyntaxError, TypeError):
        return f"<code>{of} = {html.escape(formula)}</code>"
    return (
        f'<math displaystyle="true" alttext="{html.escape(f"{of} = {formula}")}"><mi>{of}</mi><mo>=</mo>{body}</math>'
    )


def _row(node: ast.expr) -> str:
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub() as sign, right):
            return f"<mrow>{_row(left)}<mo>{_SIGNS[type(sign)]}</mo>{_row(right)}</mrow>"
        case ast.BinOp(left, ast.Mult(), right):
            return f"<mrow>{_factor(left)}<mo>&#x2062;</mo>{_factor(right)}</mrow>"
        case ast.BinOp(left, ast.Div(), right):
            return f"<mfrac>{_row(left)}{_row(right)}</mfrac>"
        case ast.BinOp(left, ast.Pow(), right):
            return f"<msup>{_factor(left)}{_row(right)}</msup>"
        case ast.UnaryOp(ast.USub(), operand):
            return f"<mrow><mo>−</mo>{_factor(operand)}</mrow>"
        case ast.Call(ast.Name(function), arguments):
            return f"<mrow><mi>{function}</mi><mo>(</mo>{'<mo>,</mo>'.join(map(_row, arguments))}<mo>)</mo></mrow>"
        case ast.Subscript(ast.Name(name), ast.Name(index)):
            return f"<msub><mi>{wording.symbol(name)}</mi><mi>{html.escape(index)}</mi></msub>"
        case ast.Name(name):
            return f"<mi>{wording.symbol(name)}</mi>"
        case ast.Constant(int() | float() as value):
            return f"<mn>{value}</mn>"
    raise TypeError(f"no formula of a law holds {ast.dump(node)}")


def _factor(node: ast.expr) -> str:
    """A sum inside a product or under a power needs brackets."""
    if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Pow | ast.Div):
        return f"<mrow><mo>(</mo>{_row(node)}<mo>)</mo></mrow>"
    return _row(node)
