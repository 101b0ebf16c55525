"""BM25: ranking by the words that a query and a document share. It trains nothing: the floor of every retriever."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

CHINESE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts without spaces between words: kana and Han characters."""
PIECES = re.compile(rf"[{CHINESE}]+|[^\W{CHINESE}]+")
IS_CHINESE = re.compile(rf"[{CHINESE}]")


def terms(text: str) -> list[str]:
    """Words in lower case; of a run of Chinese or Japanese characters each two neighbours (a single one alone)."""
    found: list[str] = []
    for piece in PIECES.findall(text.casefold()):
        if len(piece) > 1 and IS_CHINESE.match(piece):
            found.extend(piece[at : at + 2] for at in range(len(piece) - 1))
        else:
            found.append(piece)
    return found


@final
class BM25:
    """Scores of documents: Σ_t n_q(t) · idf(t) · f·(k1+1) / (f + k1·(1 − b + b·L/L̄)) over the query's terms t.

    f counts t in the document, n_q(t) in the query, L is the document's length in terms and L̄ the mean of that;
    idf(t) = ln(1 + (N − n + ½)/(n + ½)) with n of N documents that have t, never negative (Robertson & Zaragoza 2009,
    doi 10.1561/1500000019, section 3.4, with 1 added in the logarithm as in Lucene).
    """

    def __init__(self, documents: Sequence[str], *, k1: float = 1.2, b: float = 0.75) -> None:
        from scipy.sparse import csr_array

        counts = [Counter(terms(document)) for document in documents]
        self._number: dict[str, int] = {}
        for count in counts:
            for term in count:
                self._number.setdefault(term, len(self._number))
        length_N = np.array([count.total() for count in counts], dtype=np.float64)
        row = np.repeat(np.arange(len(counts)), [len(count) for count in counts])
        column = np.array([self._number[term] for count in counts for term in count], dtype=np.int64)
        f = np.array([n for count in counts for n in count.values()], dtype=np.float64)
        n_V = np.bincount(column, minlength=len(self._number))
        idf_V = np.log1p((len(counts) - n_V + 0.5) / (n_V + 0.5))
        stretch_N = k1 * (1 - b + b * length_N / max(length_N.mean(), 1e-9))
        weight = idf_V[column] * f * (k1 + 1) / (f + stretch_N[row])
        self._weight_NV = csr_array((weight, (row, column)), shape=(len(counts), len(self._number)))
        self.description = f"BM25, k1 = {k1:g}, b = {b:g}"

    def scores(self, queries: Sequence[str]) -> NDArray[np.float64]:
        """The score of every document for each query: (Q, N); 0 where they share no term."""
        found = np.zeros((len(queries), self._weight_NV.shape[0]))
        for number, query in enumerate(queries):
            known = Counter(self._number[term] for term in terms(query) if term in self._number)
            asked_V = np.zeros(self._weight_NV.shape[1])
            asked_V[list(known)] = list(known.values())
            found[number] = self._weight_NV @ asked_V
        return found
