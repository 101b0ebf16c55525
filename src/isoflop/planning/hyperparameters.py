"""Learning rate, batch and the rest: every published law of the catalogue, and custom where there is no law."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from isoflop.laws.catalogue import ENTRIES
from isoflop.laws.catalogue.entry import Entry, PublishedSet
from isoflop.laws.lookup import law_of
from isoflop.shapes import ModelShape, count_params, train_flops_per_token

NAMES = {"lr": "learning_rate", "batch": "batch"}
"""Targets of the catalogue that are hyper-parameters, and what they are called here."""


@dataclass(frozen=True)
class Suggestion:
    """One hyper-parameter by one published rule: its value, the rule, its source and where the rule was fitted.

    `outside` is the range that the rule was fitted on, where this run lies outside of it.
    """

    name: str
    value: float | str
    unit: str
    rule: str
    source: str
    domain: str = ""
    outside: str = ""


CUSTOMS = (
    Suggestion("warm_up", "1 % of the steps, at least 100, at most 2,000 and a tenth", "steps", "linear from 0",
               "Wortsman et al. 2023, arXiv 2309.14322: longer warm-up widens the range of safe learning rates"),
    Suggestion("schedule", "constant, then 1 - sqrt to zero over the last 20 % of the tokens", "",
               "trunk and cool-down",
               "Haegele et al. 2024, arXiv 2405.18392: as good as cosine, and one trunk serves several budgets"),
    Suggestion("schedule", "cosine to 10 % over exactly these tokens", "", "cosine",
               "Hoffmann et al. 2022, arXiv 2203.15556"),
    Suggestion("weight_decay", 0.1, "decoupled, per step times the learning rate", "constant",
               "Brown et al. 2020, arXiv 2005.14165, appendix B"),
    Suggestion("adam_betas", "0.9, 0.95", "", "constant", "Brown et al. 2020, arXiv 2005.14165, appendix B"),
    Suggestion("gradient_clip", 1.0, "global norm", "constant", "Brown et al. 2020, arXiv 2005.14165, appendix B"),
)  # fmt: skip
"""What is usual where the catalogue has no law."""


def hyperparameters(shape: ModelShape, tokens: float, *, loss: float) -> tuple[Suggestion, ...]:
    """Every published suggestion for training `shape` on `tokens` to about `loss` nats per token, laws first.

    Where sources disagree all are given, those fitted at such sizes before those that are extrapolated. Among rates
    that all are, the smallest comes first: too small a rate trains slowly, too large a one not at all. A law's N is
    parameters without embeddings, its C exact training FLOPs.
    """
    columns = {
        "N": float(count_params(shape).body),
        "D": tokens,
        "C": train_flops_per_token(shape) * tokens,
        "loss": loss,
    }
    found = []
    for entry, published in _laws():
        if set(entry.columns) <= columns.keys():
            value = float(law_of(entry).loss(published.values, columns))
            rule = f"{entry.key}:{published.source}"
            where = _where(published)
            name, outside = NAMES[entry.target.name], _outside(published, columns)
            found.append(Suggestion(name, value, entry.target.unit, rule, where, entry.domain, outside))
    found.sort(key=lambda one: (bool(one.outside), one.value if one.outside and one.name == "learning_rate" else 0))
    return (*found, *_weight_decays(found, columns), *CUSTOMS)


def batch_for_machine(suggested: tuple[Suggestion, ...], context: int) -> int:
    """Tokens of a batch to plan the machine with, in whole sequences.

    The geometric mean of the laws that were fitted at such sizes, or of all where none was.
    """
    laws = [one for one in suggested if one.name == "batch" and isinstance(one.value, float)]
    trusted = [one for one in laws if not one.outside] or laws
    mean = math.exp(sum(math.log(float(one.value)) for one in trusted) / len(trusted))
    return max(1, round(mean / context)) * context


def _outside(published: PublishedSet, columns: dict[str, float]) -> str:
    """The ranges of `published` that the run lies outside of, in words."""
    missed = ((name, *span) for name, span in published.fitted.items() if not span[0] <= columns[name] <= span[1])
    return ", ".join(
        f"{name} {low:.3g} to {high:.3g}" if math.isfinite(high) else f"{name} from {low:.3g}"
        for name, low, high in missed
    )


def _where(published: PublishedSet) -> str:
    paper = published.paper
    return f"{paper.short}, {'arXiv ' + paper.arxiv if paper.arxiv else paper.url}, {published.where}"


def _laws() -> Iterator[tuple[Entry, PublishedSet]]:
    for entry in ENTRIES.values():
        if entry.target.name in NAMES:
            for published in entry.sets:
                yield entry, published


def _weight_decays(found: list[Suggestion], columns: dict[str, float]) -> Iterator[Suggestion]:
    """From the best timescale of AdamW: decay = batch / (rate x D x timescale), per source of rate and batch."""
    entry = ENTRIES["adamw_timescale"]
    for published in entry.sets:
        share = float(law_of(entry).loss(published.values, columns))
        for rate in (one for one in found if one.name == "learning_rate"):
            source = rate.rule.partition(":")[2]
            batch = next((one for one in found if one.name == "batch" and one.rule.endswith(source)), None)
            if batch is not None and isinstance(rate.value, float) and isinstance(batch.value, float):
                value = batch.value / (rate.value * columns["D"] * share)
                rule = f"{entry.key}:{published.source} at {rate.rule} and {batch.rule}"
                where = _where(published)
                unit, outside = "decoupled, per step times the learning rate", rate.outside or batch.outside
                yield Suggestion("weight_decay", value, unit, rule, where, entry.domain, outside)
