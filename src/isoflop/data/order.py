"""Which sequences a step sees, as a function of seed and step alone, so that resuming needs no state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isoflop.errors import UserError

GOLDEN = (5**0.5 - 1) / 2
PERIOD = 10_000
"""Sequences after which the shares of a mixture are met to the last one."""


@dataclass
class GoldenOrder:
    """`count` things, `batch` at a step, visited in golden-ratio strides from a start that seed and epoch choose.

    An epoch visits every one once, and any prefix of it is spread evenly over all of them: real corpora lie in lumps,
    and with a random order the luck of the first million tokens moved the loss by 1 % (docs/log.md).
    """

    count: int
    batch: int
    seed: int

    def __post_init__(self) -> None:
        self._stride = max(1, round(self.count * GOLDEN))
        while math.gcd(self._stride, self.count) > 1:
            self._stride += 1

    def at(self, step: int) -> list[int]:
        """Numbers of the things that `step`, counted from 0, sees."""
        return [self._index(place) for place in range(step * self.batch, (step + 1) * self.batch)]

    def _index(self, place: int) -> int:
        epoch, index = divmod(place, self.count)
        return (index * self._stride + self._first(epoch)) % self.count

    def _first(self, epoch: int) -> int:
        return int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0]) % self.count


class Turns:
    """Whose turn it is at each place of a run, of parts with `shares` that add up to 1.

    In every `PERIOD` places a part has its share by largest remainder, in places that lie evenly: the next place always
    goes to the part that lacks the largest fraction of a place. Raises `UserError` for a share below half a place.
    """

    def __init__(self, shares: Sequence[float]) -> None:
        self.counts = largest_remainder(shares, PERIOD)
        if not all(self.counts):
            raise UserError(f"A part of the mixture has a share of {min(shares):.2g}, less than one in {PERIOD:,}.")
        counts, given = np.array(self.counts), np.zeros(len(shares), dtype=np.int64)
        self._part = np.empty(PERIOD, dtype=np.int64)
        self._visit = np.empty(PERIOD, dtype=np.int64)
        for place in range(PERIOD):
            part = int(np.argmax(counts * (place + 1) - given * PERIOD))
            self._part[place], self._visit[place] = part, given[part]
            given[part] += 1

    def at(self, place: int) -> tuple[int, int]:
        """The part whose turn it is, and how many turns it had before."""
        period, rest = divmod(place, PERIOD)
        part = int(self._part[rest])
        return part, period * self.counts[part] + int(self._visit[rest])

    def taken(self, places: int) -> list[int]:
        """How many of the first `places` each part has."""
        periods, rest = divmod(places, PERIOD)
        begun = np.bincount(self._part[:rest], minlength=len(self.counts))
        return [periods * count + int(more) for count, more in zip(self.counts, begun, strict=True)]


def largest_remainder(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers in proportion to `shares`, which add up to `total`."""
    exact = [share * total / sum(shares) for share in shares]
    counts = [math.floor(value) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda part: counts[part] - exact[part])
    for part in by_remainder[: total - sum(counts)]:
        counts[part] += 1
    return counts


class MixedOrder:
    """The order of a mixture: parts take turns, and each is visited in golden-ratio strides of its own.

    Things are numbered through all parts; `counts` are how many each has, and `count` how many are visited before the
    first part begins again.
    """

    def __init__(self, counts: Sequence[int], shares: Sequence[float], *, batch: int, seed: int) -> None:
        self.batch, self._turns = batch, Turns(shares)
        self._before = [0, *np.cumsum(counts).tolist()]
        seeds = [seed, *(_seed_of(seed, part) for part in range(1, len(counts)))]
        self._orders = [GoldenOrder(count, 1, one) for count, one in zip(counts, seeds, strict=True)]
        self.count = min(count * PERIOD // turns for count, turns in zip(counts, self._turns.counts, strict=True))

    def at(self, step: int) -> list[int]:
        """Numbers of the things that `step`, counted from 0, sees."""
        turns = (self._turns.at(place) for place in range(step * self.batch, (step + 1) * self.batch))
        return [self._before[part] + self._orders[part].at(visit)[0] for part, visit in turns]


def _seed_of(seed: int, part: int) -> int:
    return int(np.random.SeedSequence([seed, part], spawn_key=(2,)).generate_state(1)[0])


def step_generator(seed: int, step: int) -> np.random.Generator:
    """The random numbers of one step: masks, spans, prefixes, pairs."""
    return np.random.default_rng(np.random.SeedSequence([seed, step], spawn_key=(1,)))
