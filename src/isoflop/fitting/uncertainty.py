"""Everything that a fit doesn't know: draws of the parameters, the noise of a new run, the misfit of the law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.fitting.evaluation import Kernel, jacobian
from isoflop.fitting.kernels import kernel_for
from isoflop.fitting.noise import noise_of
from isoflop.fitting.problem import Array, Problem
from isoflop.fitting.resampling import ENOUGH, Resampling, draw
from isoflop.fitting.rollout import NORMAL_90, misfit_factor


@dataclass(frozen=True)
class Uncertainty:
    """What `fit` puts into a `Fit`."""

    draws: Array
    """(draws, F): parameters."""
    noise: float
    """Standard deviation of a new run about the law, in the problem's space."""
    spread: Array
    """(draws,): the same, as uncertain as the residuals leave it."""
    misfit: float
    """Factor by which predictions of new runs are widened."""


def uncertainty_of(problem: Problem, theta: Array, *, how: Resampling, kernel: Kernel) -> Uncertainty:
    """The `Uncertainty` of the optimum `theta` (F,), by the scheme that `how` names."""
    residuals = problem.target - problem.predicted(theta[None])[0]
    own = how.clusters if how.scheme in ("mixed", "runs") else np.arange(problem.n)
    model = noise_of(residuals, jacobian(problem, theta), own)
    scale, ratio = model.draw(how.draws or 1, np.random.default_rng([how.seed, 1]))
    spread = scale * np.sqrt(1 + ratio**2)
    scale_now, ratio_now = model.typical
    if problem.n >= ENOUGH and not ratio_now:
        # With runs enough, the middle 90 % of the residuals say what a new run does, whatever the tails look like.
        inner = float(np.quantile(np.abs(residuals), 0.9)) / NORMAL_90
        robust = inner * np.sqrt(problem.n / max(problem.n - problem.n_free, 1))
        spread, scale_now = spread * (robust / max(scale_now, 1e-300)), robust
    factor = misfit_factor(problem, theta, clusters=own, noise=(scale_now, ratio_now), kernel=kernel)
    fast = kernel_for(problem, how.draws)
    draws = problem.values(draw(problem, theta, how=how, noise=model, kernel=fast))
    return Uncertainty(draws, float(scale_now * np.hypot(1, ratio_now)), spread[: how.draws], factor)
