"""How good tags of words are: spans of entities under BIO, and single tags.

An entity counts as found where its kind, its first word and its last word are right (Tjong Kim Sang and De Meulder
2003, arXiv cs/0306050: the measure of CoNLL-2003).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from isoflop.evaluation.classification import label_score
from isoflop.evaluation.label_sets import f1_measure
from isoflop.evaluation.scores import Figures

OUTSIDE = "O"
Span = tuple[str, int, int]
"""Kind, first word, and the word behind the last."""


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The entities that `tags` mark. B begins one and I goes on with one of its kind; an I behind anything else begins
    one too, as in CoNLL's own script. E and L end like I, S and U stand alone (BIOES, BILOU)."""
    found: list[Span] = []
    open_kind, begun = "", 0
    for at, tag in enumerate([*tags, OUTSIDE]):
        mark, _, kind = tag.partition("-")
        goes_on = mark in "IEL" and mark != "" and kind == open_kind and open_kind != ""
        if not goes_on:
            if open_kind:
                found.append((open_kind, begun, at))
            open_kind, begun = (kind, at) if tag != OUTSIDE and kind else ("", at)
        if mark in ("E", "L", "S", "U") and open_kind:
            found.append((open_kind, begun, at + 1))
            open_kind = ""
    return found


def has_spans(tags: Sequence[str]) -> bool:
    """Whether these are all tags of spans (B-PER, O), not of single words (NOUN)."""
    return all(tag == OUTSIDE or (tag[1:2] == "-" and tag[0] in "BIOELSU") for tag in tags)


def tagging_scores(
    told: Sequence[Sequence[str]], right: Sequence[Sequence[str]], *, kinds: Sequence[str], nats_N: Sequence[float] = ()
) -> Figures:
    """Score tags of N texts. With spans the main figure is F1 over all entities (micro), else the share of right tags.

    `kinds` are the tags there are. `nats_N` is each text's mean loss of a tag. A score with nothing to divide by is 0.
    """
    words = [(a, b) for row, other in zip(told, right, strict=True) for a, b in zip(row, other, strict=True)]
    accuracy = float(np.mean([a == b for a, b in words]))
    spans = has_spans(kinds)
    mark = spans_of if spans else _single
    given, there, hits = Counter[str](), Counter[str](), Counter[str]()
    counts, whole = [], []
    for row, other in zip(told, right, strict=True):
        found, wanted = set(mark(row)), set(mark(other))
        given.update(kind for kind, *_ in found)
        there.update(kind for kind, *_ in wanted)
        hits.update(kind for kind, *_ in found & wanted)
        whole.append(float(found == wanted))
        counts.append((len(found & wanted), len(found), len(wanted)))
    names = sorted({kind.partition("-")[2] for kind in kinds if kind != OUTSIDE} if spans else set(kinds))
    rows = tuple(label_score(name, hits[name], given[name], there[name]) for name in names)
    total = label_score("", hits.total(), given.total(), there.total())
    shares = {"whole texts": float(np.mean(whole)), "token accuracy": accuracy}
    entities = {"entity F1": total.f1, "precision": total.precision, "recall": total.recall}
    figures = {**entities, **shares} if spans else {"token accuracy": accuracy, "whole texts": shares["whole texts"]}
    return Figures(
        examples=len(right),
        main=next(iter(figures)),
        figures=figures,
        nats=float(np.mean(nats_N)) if len(nats_N) else None,
        nats_standard_error=float(np.std(nats_N, ddof=1) / len(nats_N) ** 0.5) if len(nats_N) > 1 else None,
        labels=rows,
        values={"whole texts": tuple(whole)},
        measures={"entity F1": f1_measure(list(zip(*counts, strict=True)))} if spans else {},
    )


def _single(tags: Sequence[str]) -> list[Span]:
    return [(tag, at, at + 1) for at, tag in enumerate(tags)]
