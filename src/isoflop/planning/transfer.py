"""Hyper-parameters carried over from the user's own small run by its parametrisation's rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoflop.errors import UserError
from isoflop.planning.hyperparameters import Suggestion
from isoflop.runs.run import Run, read_run
from isoflop.shapes import ModelShape

RULES = {
    "mup": (
        "of a hidden matrix the rate falls as 1/width, of the head the factor, in blocks Adam's epsilon; the global "
        "rate, tables and vectors keep theirs",
        "Yang et al. 2022, arXiv 2203.03466, table 8; Dey et al. 2025, arXiv 2505.01618, table 1",
    ),
    "u-mup": (
        "of a hidden matrix the rate falls as 1/sqrt(fan-in x layers), of embeddings and gains as 1/sqrt(width); the "
        "global rate stays",
        "Blake et al. 2024, arXiv 2407.17465, table 2",
    ),
    "completep": (
        "of a hidden matrix the rate falls as 1/width, of residual branches the factor as 1/layers, in blocks Adam's "
        "epsilon as 1/(width x layers); the global rate stays",
        "Dey et al. 2025, arXiv 2505.01618, table 1",
    ),
}
"""What a global learning rate that was tuned at a small size becomes at a large one, and whose rule that is."""


@dataclass(frozen=True)
class Transferred:
    """What a small run says of the large: parametrisation, the shape it was tuned at, Adam's numbers, suggestions."""

    parametrization: str
    base: ModelShape
    adam: Mapping[str, float]
    suggestions: tuple[Suggestion, ...]


def transferred(folder: Path) -> Transferred:
    """What the run in `folder` says. Raises `UserError` for a run that diverged, or whose rate carries over nowhere."""
    run = read_run(folder)
    if run.status != "finished":
        raise UserError(f"{folder} holds a run that {run.status}: transfer from a finished one.")
    if run.parametrization not in RULES:
        raise UserError(
            f"The run in {folder} is parametrised by {run.parametrization}, under which the best learning rate moves "
            f"with the size by no known rule: tune under {', '.join(RULES)}, or leave out --from-run."
        )
    optimizer = _optimizer(run, folder)
    rule, paper = RULES[run.parametrization]
    base = ModelShape(**(run.config.get("base") or run.shape))
    where = f"{folder}: {run.params:,} parameters, {run.tokens:,} tokens; {paper}"
    rate = Suggestion("learning_rate", optimizer["lr"], "global rate", f"{run.parametrization}: {rule}", where)
    decay = Suggestion(
        "weight_decay",
        optimizer["weight_decay"],
        "independent of the rate: share of a hidden weight a step",
        f"{run.parametrization}: independent decay stays",
        where,
    )
    adam = {name: optimizer[name] for name in ("beta1", "beta2", "eps")}
    return Transferred(run.parametrization, base, adam, (rate, decay))


def _optimizer(run: Run, folder: Path) -> dict[str, Any]:
    needed = ("lr", "weight_decay", "beta1", "beta2", "eps")
    missing = [name for name in needed if name not in run.optimizer]
    if missing:
        raise UserError(f"The record of the run in {folder} does not say {', '.join(missing)}: name another run.")
    return dict(run.optimizer)
