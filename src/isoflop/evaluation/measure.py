"""A figure and the examples' own numbers that it is made of, from which its interval and its tests come."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from isoflop.evaluation.intervals import FigureOfMeans, Interval, Resampling, bootstrap_interval, mean


@dataclass(frozen=True)
class Measure:
    """The examples' own `values`, (N,) or (N, K), and the `figure` that their means make.

    `unit` says what an example is. What is not `comparable` is shown for two models without a test: nats per token of
    two tokenizers. A measure without values (None) has a figure only, `given`.
    """

    values: ArrayLike | None
    figure: FigureOfMeans = mean
    unit: str = "examples"
    comparable: bool = True
    given: float | None = None

    def interval(self, resampling: Resampling) -> Interval:
        """The figure with its interval."""
        if self.values is None:
            assert self.given is not None
            return Interval(self.given, None, None)
        return bootstrap_interval(self.values, self.figure, resampling=resampling)
