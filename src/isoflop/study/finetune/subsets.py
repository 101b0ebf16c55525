"""Nested, stratified subsets of a table of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from isoflop.adaptation import Split
from isoflop.adaptation.split import TRAIN
from isoflop.errors import UserError
from isoflop.study.finetune.config import AxesConfig


def nested_order(labels: Sequence[str], *, seed: int) -> list[int]:
    """Places 0, 1, … in an order of which every prefix has each label's share of texts, to within one text.

    Within a label the order is drawn. The k-th of its m texts comes at (k + ½)/m of the way.
    """
    draw = np.random.default_rng([seed, 10])
    kinds = {label: number for number, label in enumerate(sorted(set(labels)))}
    number_of = np.array([kinds[label] for label in labels])
    way = np.empty(len(labels))
    for number in range(len(kinds)):
        mine = np.flatnonzero(number_of == number)
        way[draw.permutation(mine)] = (np.arange(len(mine)) + 0.5) / len(mine)
    return np.lexsort((number_of, way)).tolist()


def sizes_of(axes: AxesConfig, split: Split) -> tuple[int, ...]:
    """The numbers of labels, small to large. Raises `UserError` for more than there are, or too few for every label."""
    whole, answers = len(split.train), split.train.labels
    halves = (round(whole / 2**k) for k in reversed(range(axes.sizes)))
    sizes = tuple(sorted(axes.labels)) or tuple(halves)
    if sizes[-1] > whole:
        raise UserError(f"axes.labels asks for {sizes[-1]:,} texts, and {split.train.source} has {whole:,}.")
    # Every order has the same number of each label in a prefix, whatever its seed.
    first = [answers[place] for place in nested_order(answers, seed=0)]
    least = max(first.index(label) for label in split.labels) + 1
    if sizes[0] < max(least, 2):
        rare = min(Counter(answers).items(), key=lambda one: one[1])[0]
        raise UserError(
            f"The smallest subset, {sizes[0]} texts, would not have every label ({rare!r} is the rarest): "
            f"let axes.labels begin at {max(least, 2)} or more, or lower axes.sizes."
        )
    return sizes


def subset_of(split: Split, *, size: int, seed: int) -> Split:
    """`split` with the first `size` training texts of the order of `seed`."""
    train = split.train
    return split.with_parts({**split.parts, TRAIN: train.take(nested_order(train.labels, seed=seed)[:size])})
