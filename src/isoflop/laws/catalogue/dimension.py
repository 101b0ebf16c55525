"""Performance by effective dimension: the law of the article that this project started from."""

from __future__ import annotations

from isoflop.laws.catalogue.entry import Constant, Entry, Symbol
from isoflop.laws.catalogue.symbols import N, amplitude, scale
from isoflop.laws.effective_dimension import FORMULA

EFFECTIVE_DIMENSION = Entry(
    key="effective_dimension",
    name="Effective dimension",
    formula=FORMULA,
    target=Symbol("P", "performance", "as measured"),
    variables=(N,),
    parameters=(
        amplitude("P0", "performance at dimension zero", "as measured"),
        Constant("alpha", "factor on performance per effective dimension", "1", 0.0, 1e3),
        scale("beta", "parameters per effective dimension", "parameters"),
    ),
    domain="none is given: the article states the law without runs",
    paper=None,
    where="P = P0 * alpha**d with d = N / beta, d = log(P / P0) / log(alpha)",
    verified="the article's own example, P = 0.85, P0 = 1, alpha = 1.2, beta = 1e6, which gives -8.9e5 parameters",
    note=(
        "That example has no answer: with alpha above 1 performance rises from P0, and 0.85 is below what any d of "
        "zero or more gives. The law needs P > 0, P0 > 0, alpha > 0 and not 1, and P on the side of P0 to which alpha "
        "leads; the functions of isoflop.laws.effective_dimension compute d and N and say which of these fails."
    ),
)

ENTRIES = (EFFECTIVE_DIMENSION,)
