"""How runs scatter about the law: one normal error per run and one per trunk, both sizes uncertain.

Runs cut from one trunk share weights and data order, so their errors are not independent. Residual = e + t of the
trunk, with sd(e) = s and sd(t) = k s. Restricted maximum likelihood (Patterson and Thompson 1971) says how likely each
k is once the law has taken its degrees of freedom; the prior on k is half-Cauchy (Gelman 2006), because four to
six trunks say little about it themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.problem import Array

TRUNK_PRIOR = 2.0
"""Scale of the half-Cauchy prior on k: as likely as not that trunks differ by more than twice a run's own noise."""
RATIOS = np.concatenate([[0.0], np.geomspace(0.05, 10.0, 40)])
"""The values of k that are weighed."""


@dataclass(frozen=True)
class Noise:
    """What the residuals of a fit say about the noise: the weight of each ratio k, and the sum of squares under it."""

    weight: Array
    squares: Array
    freedom: int
    """Degrees of freedom that the law has left."""

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """`count` pairs (s, k) that the residuals allow."""
        which = np.minimum(np.searchsorted(np.cumsum(self.weight), rng.random(count)), len(RATIOS) - 1)
        scale = np.sqrt(self.squares[which] / rng.chisquare(self.freedom, count))
        return scale, RATIOS[which]

    @property
    def typical(self) -> tuple[float, float]:
        """(s, k) in the middle of what the residuals allow: the median k, and the median s that goes with it."""
        which = int(np.searchsorted(np.cumsum(self.weight), 0.5))
        median = self.freedom * (1 - 2 / (9 * self.freedom)) ** 3  # of chi-squared, by Wilson and Hilferty 1931
        return float(np.sqrt(self.squares[which] / median)), float(RATIOS[which])


def noise_of(residuals: Array, slopes: Array, clusters: NDArray[np.intp]) -> Noise:
    """The `Noise` in `residuals` (n,) of a fit with Jacobian `slopes` (n, F), for runs in `clusters` (n,).

    Where every run is a trunk of its own there is nothing to tell k by, and it is 0.
    """
    basis = _orthonormal(slopes)
    freedom = max(len(residuals) - basis.shape[1], 1)
    sizes = np.bincount(clusters).astype(np.float64)
    ratios = RATIOS if sizes.max() > 1 else RATIOS[:1]
    fits, squares = [], []
    for ratio in ratios:
        one, log_determinant = _restricted(residuals, basis, clusters, sizes, float(ratio))
        squares.append(one)
        fits.append(-0.5 * (log_determinant + freedom * np.log(max(one, 1e-300))))
    weight = np.zeros(len(RATIOS))
    prior = np.gradient(ratios) / (1 + (ratios / TRUNK_PRIOR) ** 2) if len(ratios) > 1 else np.ones(1)
    weight[: len(ratios)] = np.exp(np.array(fits) - max(fits)) * prior
    padded = np.full(len(RATIOS), squares[0])
    padded[: len(ratios)] = squares
    return Noise(weight / weight.sum(), padded, freedom)


def _restricted(
    residuals: Array, basis: Array, clusters: NDArray[np.intp], sizes: Array, ratio: float
) -> tuple[float, float]:
    """(generalised sum of squares, log determinant) of the residuals that the law can't take up, for one ratio."""
    both = np.column_stack([basis, residuals])
    inner = both.T @ both
    if ratio > 0:
        sums = np.zeros((len(sizes), both.shape[1]))
        np.add.at(sums, clusters, both)
        shrink = ratio**2 / (1 + ratio**2 * sizes)
        inner -= sums.T @ (sums * shrink[:, None])
    information, cross = inner[:-1, :-1], inner[:-1, -1]
    squares = inner[-1, -1] - cross @ np.linalg.solve(information, cross)
    log_determinant = np.log1p(ratio**2 * sizes).sum() + np.linalg.slogdet(information)[1]
    return max(float(squares), 0.0), float(log_determinant)


def _orthonormal(slopes: Array) -> Array:
    """An orthonormal basis of what the law can do to the residuals, directions that data can't tell left out."""
    scale = np.linalg.norm(slopes, axis=0)
    left, singular, _ = np.linalg.svd(slopes / np.where(scale > 0, scale, 1.0), full_matrices=False)
    kept: Array = left[:, singular > 1e-7 * singular[0]]
    return kept
