"""The laws of a study of fine-tunings: which are fitted to its rows, what they predict, what they say a label costs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isoflop.errors import UserError
from isoflop.fitting import Fit, Huber, fit
from isoflop.laws import Law
from isoflop.planning.labels import cheaper, curve_of, error_at, exchange, labels_for
from isoflop.runs import Runs
from isoflop.study.finetune.config import PriceConfig

Row = Mapping[str, Any]
LEVEL = 0.9
DRAWS = 2000
OBJECTIVE = Huber(delta=0.1)
"""The error on a thousand texts scatters by some per cent: least squares up to 10 %, so that all cells are used."""
GAIN = 0.01
"""The next point of accuracy."""
FLOOR = "floor"
ENOUGH_MODELS = 3
LEAST_SPARE = 2
"""Cells beyond the number of parameters: a law through every point would have intervals of no width."""
EXAMPLES = "finetuning_examples"


@dataclass(frozen=True)
class Fitted:
    """A law fitted to the rows of one method (or of the floor), or the sentence that says why there is none."""

    method: str
    law: str
    """`curve`, or the key of the catalogue."""
    target: str
    """error, or loss (nats per label)."""
    fit: Fit | None
    why_not: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the fit as it stores itself."""
        return {**asdict(self), "fit": None if self.fit is None else json.loads(self.fit.to_json())}


def fit_curves(rows: Sequence[Row], methods: Sequence[str], *, target: str, seed: int) -> list[Fitted]:
    """Error (or loss) against labels, for each method over all its models, and for the floor."""
    found = []
    for method in methods:
        mine = [row for row in rows if row["method"] == method]
        models = {row["model"] for row in mine}
        law = Law(curve_of(len(models)), variables=(EXAMPLES,))
        found.append(_fitted(method, "curve", law, _table(mine, target), target=target, seed=seed))
    floor = floor_rows(rows)
    if floor and target == "error":
        law = Law(curve_of(1), variables=(EXAMPLES,))
        found.append(_fitted(FLOOR, "curve", law, _table(floor, target), target=target, seed=seed))
    return found


def fit_joint(rows: Sequence[Row], methods: Sequence[str], *, seed: int) -> list[Fitted]:
    """The catalogue's laws of labels and pretraining together, where the rows have what they read."""
    found = []
    for method in methods:
        mine = [row for row in rows if row["method"] == method and row["pretraining_flops"]]
        models = {row["pretraining_flops"] for row in mine}
        if len(models) < ENOUGH_MODELS:
            few = f"{len(models)} of its models differ in recorded pretraining FLOPs, and {ENOUGH_MODELS} are needed"
            found.append(Fitted(method, "finetuning", "error", None, few))
            continue
        table = _table([{**row, "x": row["pretraining_flops"]} for row in mine], "error", "x")
        found.append(_fitted(method, "finetuning", "finetuning", table, target="error", seed=seed))
        if len({row["params"] for row in mine}) >= ENOUGH_MODELS:
            table = _table(mine, "loss", "params", "finetuning_tokens")
            found.append(_fitted(method, "transfer", "transfer", table, target="loss", seed=seed))
    return found


def floor_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The floor's error on each subset, once: it is the same beside every model and method."""
    known = {(row[EXAMPLES], row["seed"]): row for row in rows if row["floor_error"] is not None}
    return [
        {EXAMPLES: labels, "seed": seed, "model": FLOOR, "trunk": f"floor-s{seed}", "error": row["floor_error"]}
        for (labels, seed), row in sorted(known.items())
    ]


def predictions(fits: Sequence[Fitted], rows: Sequence[Row], *, labels: int) -> list[dict[str, Any]]:
    """The error at `labels` for each method and model, as one new run will measure it."""
    found = []
    for one in fits:
        models = _models(one.method, rows)
        for model in models if one.fit is not None else ():
            assert one.fit is not None
            guess = one.fit.predict(of="run", level=LEVEL, **error_at(one.fit, labels=labels, model=model))
            status = [asdict(status) for status in doubts(one.fit)]
            value, low, high = (_within(end) for end in (guess.value, guess.low, guess.high))
            cell = {"method": one.method, "model": model, "value": value, "low": low, "high": high, "level": LEVEL}
            found.append({**cell, "status": status})
    return found


def answers(fits: Sequence[Fitted], rows: Sequence[Row], *, labels: int) -> list[dict[str, Any]]:
    """For each method and model what one point less error costs in labels, from the largest subset on."""
    found = []
    for one in fits:
        models = _models(one.method, rows)
        for model in models:
            answer: dict[str, Any] = {"method": one.method, "model": model, "amount": None}
            if one.fit is None:
                answer["sentence"] = f"cannot say: {one.why_not}"
            else:
                price = labels_for(one.fit, labels=labels, gain=GAIN, model=model)
                answer |= {"sentence": price.sentence, "amount": price.amount and asdict(price.amount)}
            found.append(answer)
    return found


def trade(
    fits: Sequence[Fitted], rows: Sequence[Row], *, labels: int, prices: PriceConfig, speed: float | None
) -> list[dict[str, Any]]:
    """Label more or pretrain more, for each method, from its best-pretrained model; `speed` is FLOPs per second."""
    found: list[dict[str, Any]] = []
    for one in fits:
        if one.law != "finetuning":
            continue
        if one.fit is None:
            found.append({"method": one.method, "sentences": [f"cannot say: {one.why_not}"]})
            continue
        flops = max(
            row["pretraining_flops"] for row in rows if row["method"] == one.method and row["pretraining_flops"]
        )
        costs = exchange(one.fit, labels=labels, flops=flops, gain=GAIN)
        worth = costs.flops_per_label
        sentences = [worth.sentence]
        if prices.usd_per_label is not None and prices.usd_per_hour is not None and speed:
            usd_per_flop = prices.usd_per_hour / 3600 / speed
            sentences = [cheaper(worth, usd_per_label=prices.usd_per_label, usd_per_flop=usd_per_flop)]
        if costs.labels is not worth:
            ways = (("labels", costs.labels), ("pretraining", costs.flops))
            sentences += [f"a point, by {way}: {price.sentence}" for way, price in ways]
        amount = worth.amount
        found.append({"method": one.method, "sentences": sentences, "flops_per_label": amount and asdict(amount)})
    return found


def _models(method: str, rows: Sequence[Row]) -> list[str]:
    return [FLOOR] if method == FLOOR else sorted({row["model"] for row in rows if row["method"] == method})


def doubts(law: Fit) -> list[Any]:
    """What a fit says against itself, but for rows that agree: errors counted on one test set often do."""
    return [one for one in law.status if one.code not in ("converged", "duplicates", "reading")]


def _fitted(method: str, name: str, law: Law | str, table: Runs, *, target: str, seed: int) -> Fitted:
    try:
        found = fit(table, law, target=target, objective=OBJECTIVE, draws=DRAWS, seed=seed)
    except UserError as error:  # too few cells: an answer that can't be given, not a study that fails
        return Fitted(method, name, target, None, str(error))
    spare = found.n_runs - len(found.fitted)
    if spare < LEAST_SPARE:
        few = f"{found.n_runs} cells for {len(found.fitted)} parameters are too few to tell the noise by"
        return Fitted(method, name, target, None, f"{few}: add seeds or sizes")
    return Fitted(method, name, target, found)


def _table(rows: Sequence[Row], target: str, *columns: str) -> Runs:
    names = ("model", "trunk", EXAMPLES, target, *columns)
    return Runs({name: np.array([row[name] for row in rows]) for name in names}, "cells.csv")


def _within(error: float) -> float:
    """No error is above 1, whatever a law's interval says."""
    return min(float(error), 1.0)
