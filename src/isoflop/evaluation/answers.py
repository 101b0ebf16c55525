"""How good answers to questions are: exact match and F1 of words, as SQuAD counts them, in Chinese by characters.

Rajpurkar et al. 2018, arXiv 1806.03822 (SQuAD 2.0), and its evaluation script: case, punctuation and English articles
do not count; the best of several right answers does; a question without an answer is right where none is given.
Chinese and Japanese characters are words of their own and their punctuation does not count either, as Lewis et al.
2020, arXiv 1910.07475 (MLQA) do it; texts without such characters are counted as in SQuAD.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from isoflop.evaluation.scores import Figures

ARTICLES = re.compile(r"\b(a|an|the)\b")
WIDE_PUNCTUATION = re.compile(r"[\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65·—…‘’“”]")
IDEOGRAPH = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> list[str]:
    """The words of an answer that count."""
    plain = answer.lower().translate(ASCII_PUNCTUATION)
    if IDEOGRAPH.search(plain):
        plain = IDEOGRAPH.sub(r" \1 ", WIDE_PUNCTUATION.sub(" ", plain))
    return ARTICLES.sub(" ", plain).split()


def exact(told: str, right: Sequence[str]) -> float:
    """1 where `told` is one of the `right` answers, or empty where there are none; else 0."""
    return float(any(normalized(told) == normalized(one) for one in _wanted(right)))


def f1(told: str, right: Sequence[str]) -> float:
    """The best F1 of `told`'s words against a right answer's; without words it is whether both have none."""
    return max(_f1(normalized(told), normalized(one)) for one in _wanted(right))


def answer_scores(
    told: Sequence[str],
    right: Sequence[Sequence[str]],
    *,
    forced: Sequence[str] | None = None,
    nats_N: Sequence[float] | None = None,
) -> Figures:
    """Score answers ("" for none) of N questions; `nats_N` is each question's loss. Means over questions, and F1 apart
    of those that have an answer and those that have none, where there are both. `forced` is what would be answered if
    one always had to: its F1, of the questions that have an answer, tells finding it from knowing that it is there."""
    f1_N = np.array([f1(one, some) for one, some in zip(told, right, strict=True)])
    exact_N = np.array([exact(one, some) for one, some in zip(told, right, strict=True)])
    answerable_N = np.array([bool(some) for some in right])
    figures = {"F1": float(f1_N.mean()), "EM": float(exact_N.mean())}
    if answerable_N.any() and not answerable_N.all():
        figures["F1 answerable"] = float(f1_N[answerable_N].mean())
        figures["F1 unanswerable"] = float(f1_N[~answerable_N].mean())
        if forced is not None:
            figures["F1 forced"] = float(np.mean([f1(*pair) for pair in zip(forced, right, strict=True) if pair[1]]))
    spread = None if nats_N is None or len(nats_N) < 2 else float(np.std(nats_N, ddof=1) / len(nats_N) ** 0.5)
    return Figures(
        examples=len(told),
        main="F1",
        figures=figures,
        nats=None if nats_N is None else float(np.mean(nats_N)),
        nats_standard_error=spread,
        values={"F1": tuple(map(float, f1_N)), "EM": tuple(map(float, exact_N))},
    )


def best_threshold(margin_N: Sequence[float], told: Sequence[str], right: Sequence[Sequence[str]]) -> float:
    """The threshold with the best mean F1 where an answer is given only if its margin is above it."""
    order = np.argsort(-np.asarray(margin_N, dtype=np.float64), kind="stable")
    given_N = np.array([f1(told[at], right[at]) for at in order])
    silent_N = np.array([f1("", right[at]) for at in order])
    # answering the first n of the order: their own F1, and silence for the others
    total_n = np.concatenate(([0.0], np.cumsum(given_N - silent_N)))
    margins = np.asarray(margin_N, dtype=np.float64)[order]
    possible_n = np.concatenate(([True], margins[1:] < margins[:-1], [True]))  # equal margins go together
    best = int(np.argmax(np.where(possible_n, total_n, -np.inf)))
    if best == 0:
        return float(margins[0])
    return float(margins[best - 1] - 1) if best == len(margins) else float((margins[best - 1] + margins[best]) / 2)


def _wanted(right: Sequence[str]) -> Sequence[str]:
    return [one for one in right if normalized(one)] or [""]


def _f1(told: list[str], right: list[str]) -> float:
    if not told or not right:
        return float(told == right)
    same = (Counter(told) & Counter(right)).total()
    return 2 * same / (len(told) + len(right))
