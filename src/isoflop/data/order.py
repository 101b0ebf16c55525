"""Which sequences a step sees, as a function of seed and step alone, so that resuming needs no state."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

GOLDEN = (5**0.5 - 1) / 2


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


def step_generator(seed: int, step: int) -> np.random.Generator:
    """The random numbers of one step: masks, spans, prefixes, pairs."""
    return np.random.default_rng(np.random.SeedSequence([seed, step], spawn_key=(1,)))
