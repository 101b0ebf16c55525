"""What comes before training: tokens, this machine's speed, the ladder that the budget pays for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isoflop.data import TokenData, cache_folder, prepare_tokens
from isoflop.errors import UserError
from isoflop.executors import cores
from isoflop.planning import Ladder, plan_ladder
from isoflop.study.config import DEFAULT_FLOPS, StudyConfig
from isoflop.study.jobs import JobMaker, calibration_shapes
from isoflop.training import Speed, measure_speed

MOST_EPOCHS = 4.0
"""Up to four epochs, a repeated token is nearly worth a new one (Muennighoff et al. 2023, arXiv 2305.16264)."""

LEAST_SHARE_OF_PEAK = 1e-5
"""Where the search for the FLOPs that fit into given minutes begins; the smallest models reach 1e-3."""


@dataclass(frozen=True)
class Preparation:
    """Tokens, the ladder and the FLOPs it was planned for, this machine's speed, the expected seconds of training."""

    data: TokenData
    ladder: Ladder
    budget_flops: float
    speed: Speed
    seconds: float


def prepare(config: StudyConfig, *, listen: Callable[[str], None], flops: float | None = None) -> Preparation:
    """Tokenise (or find) the corpus, measure the machine, plan the ladder; `listen` gets a sentence about each.

    `flops` is the budget that an earlier sitting planned for: a budget in minutes must not be measured anew, or the
    study would go on with another ladder.

    Raises `UserError` for a corpus that is empty or too small, or a budget that is.
    """
    data, cached = prepare_tokens(config.corpus, config.tokenizer, cache=cache_folder())
    listen(_corpus_sentence(data, cached))
    speed = measure_speed(calibration_shapes(config, data.vocab), batch=config.ladder.batch)
    budget = _budget_flops(config, data, speed) if flops is None else flops
    ladder = plan_ladder(config.ladder, config.family(data.vocab), flops=budget)
    seconds = _seconds(config, ladder, data, speed)
    _refuse_too_little_text(data, ladder)
    target = ladder.target
    listen(
        f"ladder of {sum(len(rung.steps) * rung.replicates for rung in ladder.rungs)} runs, "
        f"{ladder.rungs[0].params:,} to {ladder.rungs[-1].params:,} parameters; target {target.params:,} parameters "
        f"on {ladder.tokens(target.steps[0]):,} tokens; about {seconds / 60:.1f} minutes"
    )
    return Preparation(data, ladder, budget, speed, seconds)


def _budget_flops(config: StudyConfig, data: TokenData, speed: Speed) -> float:
    """The FLOPs to plan for: as given, or the most that end within the minutes (or the money's) on this machine."""
    family, budget = config.family(data.vocab), config.budget
    minutes = budget.minutes
    if budget.usd is not None and budget.usd_per_hour is not None:
        minutes = 60 * budget.usd / budget.usd_per_hour
    if minutes is None:
        return budget.flops or DEFAULT_FLOPS
    high = minutes * 60 * speed.peak_flops * cores()
    low = LEAST_SHARE_OF_PEAK * high
    for _ in range(32):
        middle = (low * high) ** 0.5
        try:
            fits = _seconds(config, plan_ladder(config.ladder, family, flops=middle), data, speed) <= minutes * 60
        except UserError:  # too little for any ladder
            fits = True
        low, high = (middle, high) if fits else (low, middle)
    return low


def _seconds(config: StudyConfig, ladder: Ladder, data: TokenData, speed: Speed) -> float:
    return sum(JobMaker(config, ladder, data, Path(), speed).phase_seconds(cores()).values())


def _refuse_too_little_text(data: TokenData, ladder: Ladder) -> None:
    most = max(ladder.tokens(rung.steps[-1]) for rung in (*ladder.rungs, ladder.target))
    if most > MOST_EPOCHS * data.fresh_tokens:
        raise UserError(
            f"The corpus has {data.fresh_tokens:,} training tokens"
            f"{' before a part of the mixture begins again' if data.parts else ''}, and the longest run wants "
            f"{most:,}, more than {MOST_EPOCHS:g} epochs: add text, or lower the budget or ladder.tokens_per_param."
        )


def _corpus_sentence(data: TokenData, cached: bool) -> str:
    sentence = (
        f"{data.train_tokens:,} training and {data.valid_tokens:,} validation tokens"
        f" ({1 / data.tokens_per_byte:.2f} bytes each){', found in the cache' if cached else ''}"
    )
    if data.replaced:
        sentence += (
            f"; {data.replaced:,} undecodable bytes in {data.damaged_documents} documents were replaced, being no UTF-8"
        )
    return sentence
