"""How near generated texts are to those that were wanted: BLEU and chrF (by sacrebleu), ROUGE, exact match.

N texts. Chinese is measured by characters: by white space it would have no words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import UserError

Array = NDArray[np.float64]
ORDERS = 4
"""BLEU counts n-grams of up to so many tokens."""
CHARACTERS, RECALL_WEIGHT = 6, 2.0
"""chrF counts n-grams of up to so many characters, and weighs recall so much more (its β)."""
CHINESE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
References = str | Sequence[str]
"""The text that was wanted, or several of which each would be right."""
UNIT = re.compile(rf"[{CHINESE}]|[^\W_{CHINESE}]+")
"""What ROUGE counts: a Chinese character, or a run of other letters and digits."""


def is_chinese(texts: Sequence[str]) -> bool:
    """Whether at least half of the units are Chinese characters."""
    units = [unit for text in texts for unit in UNIT.findall(text)]
    return 2 * sum(re.match(f"[{CHINESE}]", unit) is not None for unit in units) >= max(1, len(units))


def bleu(found: Sequence[str], wanted: Sequence[References]) -> float:
    """BLEU of the whole, from 0 to 100 (Papineni et al. 2002; sacrebleu's 13a tokens, for Chinese its zh)."""
    right = _references(wanted)
    return float(_bleu_of(right).corpus_score(list(found), _side_by_side(right)).score)


def bleu_counts(found: Sequence[str], wanted: Sequence[References]) -> Array:
    """What `bleu_of_means` is made of: each text's matching n-grams, all its n-grams, both lengths in tokens,
    and 1/N: (N, 11)."""
    right = _references(wanted)
    metric = _bleu_of(right, effective_order=True)
    scores = [metric.sentence_score(one, list(others)) for one, others in zip(found, right, strict=True)]
    rows = [[*one.counts, *one.totals, one.sys_len, one.ref_len, 1 / len(scores)] for one in scores]
    return np.array(rows, dtype=np.float64)


def bleu_of_means(means: Array) -> Array:
    """BLEU, from 0 to 100, of means (…, 11) of `bleu_counts`.

    Where no n-gram of an order matches, its precision is 1 over 2^k times their number, k counting such orders, which
    is sacrebleu's default (Chen and Cherry 2014, smoothing 3). 0 where nothing matches at all, or no text has four
    tokens.
    """
    matching, everything = means[..., :ORDERS], means[..., ORDERS : 2 * ORDERS]
    found, wanted, one = np.moveaxis(means[..., 2 * ORDERS :], -1, 0)
    missed = matching == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        instead = one[..., None] * 0.5 ** missed.cumsum(axis=-1)
        log_precision = np.log(np.where(missed, instead, matching) / everything).mean(axis=-1)
        score = 100 * np.exp(log_precision + np.minimum(0.0, 1 - wanted / found))
    return np.where(missed.all(axis=-1) | (everything == 0).any(axis=-1), 0.0, score)


def chrf(found: Sequence[str], wanted: Sequence[References]) -> float:
    """chrF of the whole, from 0 to 100: character n-grams up to 6, recall twice as heavy (Popović 2015)."""
    return float(_sacrebleu().CHRF().corpus_score(list(found), _side_by_side(_references(wanted))).score)


def chrf_counts(found: Sequence[str], wanted: Sequence[References]) -> Array:
    """What `chrf_of_means` is made of: for 1 to 6 characters each text's n-grams, its reference's, and those in both
    (N, 18); of several references the one with the highest chrF."""
    rows = []
    for one, others in zip(found, _references(wanted), strict=True):
        mine = _character_grams(one)
        counts_R18 = np.array([_matches(mine, _character_grams(other)) for other in others], dtype=np.float64)
        rows.append(counts_R18[chrf_of_means(counts_R18).argmax()])
    return np.array(rows)


def chrf_of_means(means: Array) -> Array:
    """chrF, from 0 to 100, of means (…, 18) of `chrf_counts`: precision and recall are means over those lengths of
    n-grams that there are, as in sacrebleu."""
    mine, theirs, both = np.moveaxis(means.reshape(*means.shape[:-1], CHARACTERS, 3), -1, 0)
    there = (mine > 0) & (theirs > 0)
    orders = np.maximum(1, there.sum(axis=-1))
    precision, recall = (
        np.divide(both, count, out=np.zeros_like(both), where=there).sum(axis=-1) / orders for count in (mine, theirs)
    )
    below = RECALL_WEIGHT**2 * precision + recall
    above = 100 * (1 + RECALL_WEIGHT**2) * precision * recall
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _character_grams(text: str) -> list[Counter[str]]:
    """The n-grams of a text without its white space, for 1 to 6 characters."""
    letters = "".join(text.split())
    return [Counter(letters[at : at + n] for at in range(len(letters) - n + 1)) for n in range(1, CHARACTERS + 1)]


def _matches(mine: list[Counter[str]], theirs: list[Counter[str]]) -> list[int]:
    pairs = zip(mine, theirs, strict=True)
    return [count for a, b in pairs for count in (a.total() if b else 0, b.total(), (a & b).total())]


def exact_match(found: Sequence[str], wanted: Sequence[str]) -> Array:
    """1 where a text is the wanted one but for white space around and between words, else 0: (N,)."""
    same = [one.split() == other.split() for one, other in zip(found, wanted, strict=True)]
    return np.array(same, dtype=np.float64)


def rouge(found: Sequence[str], wanted: Sequence[str]) -> dict[str, Array]:
    """F1 of ROUGE-1, ROUGE-2 and ROUGE-L of each text, (N,) each, from 0 to 1 (Lin 2004, sections 2 and 3.1).

    Units are words in lower case without stemming, of Chinese characters.
    """
    values: dict[str, list[float]] = {"ROUGE-1": [], "ROUGE-2": [], "ROUGE-L": []}
    for one, other in zip(found, wanted, strict=True):
        mine, theirs = (UNIT.findall(text.lower()) for text in (one, other))
        for n in (1, 2):
            values[f"ROUGE-{n}"].append(_overlap_f1(mine, theirs, n))
        values["ROUGE-L"].append(_f1(_longest_common(mine, theirs), len(mine), len(theirs)))
    return {name: np.array(one) for name, one in values.items()}


def _overlap_f1(mine: list[str], theirs: list[str], n: int) -> float:
    counts = [Counter(zip(*(units[at:] for at in range(n)), strict=False)) for units in (mine, theirs)]
    return _f1((counts[0] & counts[1]).total(), counts[0].total(), counts[1].total())


def _f1(both: int, mine: int, theirs: int) -> float:
    return 2 * both / (mine + theirs) if both else 0.0


def _longest_common(mine: list[str], theirs: list[str]) -> int:
    """Length of the longest sequence that both contain, not necessarily without gaps."""
    row = [0] * (len(theirs) + 1)
    for unit in mine:
        before = 0
        for place, other in enumerate(theirs, start=1):
            before, row[place] = row[place], before + 1 if unit == other else max(row[place], row[place - 1])
    return row[-1]


def best_of(
    metric: Callable[[Sequence[str], Sequence[str]], Array], found: Sequence[str], wanted: Sequence[References]
) -> Array:
    """A metric of single texts (exact match, one of ROUGE) against the nearest of each text's references: (N,)."""
    right = _references(wanted)
    rows = [at for at, others in enumerate(right) for _ in others]
    each = metric([found[at] for at in rows], [other for others in right for other in others])
    best_N = np.zeros(len(right))
    np.maximum.at(best_N, rows, each)
    return best_N


def _references(wanted: Sequence[References]) -> list[tuple[str, ...]]:
    return [(one,) if isinstance(one, str) else tuple(one) for one in wanted]


def _side_by_side(right: list[tuple[str, ...]]) -> list[list[str | None]]:
    """First references of all texts, second ones, …; None where a text has fewer."""
    most = max(map(len, right))
    return [[others[at] if at < len(others) else None for others in right] for at in range(most)]


def _bleu_of(right: list[tuple[str, ...]], *, effective_order: bool = False) -> Any:
    tokens = "zh" if is_chinese([one for others in right for one in others]) else "13a"
    return _sacrebleu().BLEU(tokenize=tokens, effective_order=effective_order)


def _sacrebleu() -> ModuleType:
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise UserError("BLEU and chrF need sacrebleu: pip install sacrebleu.") from error
    return metrics
