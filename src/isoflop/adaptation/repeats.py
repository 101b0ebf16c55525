"""One fine-tuning several times, with other seeds or on folds of its data: mean and spread of its figures."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from isoflop.adaptation.finetuning import JOB, Diverged, Event, Machine, finetune
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.result import Result
from isoflop.adaptation.split import TRAIN, Split
from isoflop.errors import UserError
from isoflop.files import write_json

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Repeat:
    """One of them: the folder's name, its data and its seed."""

    name: str
    split: Split
    seed: int


@dataclass(frozen=True)
class Begun:
    """Number `number` of `count` begins."""

    name: str
    number: int
    count: int


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of a figure."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Summary:
    """Figures of each part in every repeat, by the repeat's name, and their spread; `main` names the one that counts.

    `floor` is the spread of the floor's figures, empty without a floor.
    """

    main: str
    repeats: Mapping[str, Mapping[str, Mapping[str, float]]]
    spread: Mapping[str, Mapping[str, Spread]]
    floor: Mapping[str, Mapping[str, Spread]]


def plan_repeats(split: Split, *, seed: int, seeds: Sequence[int] = (), folds: int = 0) -> tuple[Repeat, ...]:
    """What is run for these `seeds` and so many `folds` of train (0: train as it is); folds are drawn by `seed`.

    Raises `UserError` for one seed or fold only, a seed that is there twice, and folds beside a dev of its own.
    """
    if seeds and (len(seeds) < 2 or len(set(seeds)) < len(seeds)):
        raise UserError("--seeds needs two or more different ones, as in 0,1,2; for one there is --seed.")
    parts = {"": split}
    if folds:
        if "dev" in split.parts:
            raise UserError("--folds takes its dev out of train, one fold after another: leave out --dev.")
        cut = stratified_folds(split, folds, seed=seed)
        parts = {f"fold-{at + 1}": _without(split, fold) for at, fold in enumerate(cut)}
    named = {f"seed-{one}": one for one in seeds} or {"": seed}
    return tuple(
        Repeat("-".join(filter(None, (name, fold))), part, one)
        for name, one in named.items()
        for fold, part in parts.items()
    )


def stratified_folds(split: Split, folds: int, *, seed: int) -> list[list[int]]:
    """Numbers of train's examples in each fold: every label is dealt out in turn, in random order, so that all folds
    have their share of it. Raises `UserError` for fewer than two folds, and for more than there are examples."""
    train = split.train
    if not 2 <= folds <= len(train):
        raise UserError(f"--folds must be at least 2 and at most the {len(train)} examples of train, not {folds}.")
    groups: dict[Any, list[int]] = defaultdict(list)
    for at, label in enumerate(train.labels):
        groups[label if split.labels else ""].append(at)
    draw = np.random.default_rng(seed)
    in_turn = [
        int(at) for _, group in sorted(groups.items(), key=lambda one: str(one[0])) for at in draw.permutation(group)
    ]
    return [sorted(in_turn[fold::folds]) for fold in range(folds)]


def _without(split: Split, fold: Sequence[int]) -> Split:
    held = set(fold)
    rest = [at for at in range(len(split.train)) if at not in held]
    return split.with_parts({**split.parts, TRAIN: split.train.take(rest), "dev": split.train.take(fold)})


def finetune_repeatedly(
    model: Path, repeats: Sequence[Repeat], *, out: Path, recipe: Recipe | None = None, machine: Machine | None = None
) -> Iterator[Begun | Event | Summary]:
    """Fine-tune once for each repeat, in a folder of its own in `out`; ends with `Summary`, also in `summary.json`.

    A sitting that is interrupted goes on with the next one. Ends with `Diverged` where one of them diverges, since a
    mean over the others would flatter. Raises `UserError` where `out` holds a single fine-tuning.
    """
    if (out / JOB).exists():
        raise UserError(f"{out} holds a single fine-tuning: choose another --out.")
    results: dict[str, Result] = {}
    for number, repeat in enumerate(repeats, start=1):
        yield Begun(repeat.name, number, len(repeats))
        chosen = dataclasses.replace(recipe or Recipe(), seed=repeat.seed)
        for event in finetune(model, repeat.split, out=out / repeat.name, recipe=chosen, machine=machine):
            yield event
            if isinstance(event, Diverged):
                return
            if isinstance(event, Result):
                results[repeat.name] = event
    summary = summarise(results)
    write_json(out / SUMMARY, json.loads(json.dumps(dataclasses.asdict(summary))))
    yield summary


def summarise(results: Mapping[str, Result]) -> Summary:
    """The spread of all figures over the results."""
    first = next(iter(results.values()))
    repeats = {name: _figures(one.scores) for name, one in results.items()}
    floors = [_figures(one.floor.scores) for one in results.values() if one.floor is not None]
    main = next(iter(first.scores.values())).main
    return Summary(main, repeats, _spread(list(repeats.values())), _spread(floors))


def _figures(scores: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    return {part: dict(one.figures) for part, one in scores.items()}


def _spread(found: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, Spread]]:
    spread: dict[str, dict[str, Spread]] = {}
    for part, figures in found[0].items() if found else ():
        spread[part] = {}
        for name in figures:
            values = [one[part][name] for one in found if name in one[part]]
            spread[part][name] = Spread(mean(values), stdev(values) if len(values) > 1 else 0.0)
    return spread
