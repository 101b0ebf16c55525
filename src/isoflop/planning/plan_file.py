"""`plan.toml`: a plan as `isoflop train` and `isoflop study` read it, every number with its unit."""

from __future__ import annotations

import math
from typing import Any

import tomli_w

from isoflop.planning.hyperparameters import Suggestion
from isoflop.planning.planner import Plan

SCHEMA = 1
COOLDOWN = 0.2
WARM_UP, LEAST_WARM_UP, MOST_WARM_UP, LARGEST_WARM_UP = 0.01, 100, 2000, 0.1
"""Share of the steps, at least and at most so many steps, and never more than this share."""
UNITS = {
    "plan": {"params": "parameters", "loss": "nats per token", "loss_low": "nats per token",
             "loss_high": "nats per token", "flops": "FLOPs of training, 6ND", "unique_tokens": "tokens"},
    "shape": {"context": "tokens", "vocab": "entries", "width": "features", "ffn": "features"},
    "train": {"tokens": "tokens seen", "batch_tokens": "tokens a step", "learning_rate": "peak, of the parametrization",
              "weight_decay": "share of a hidden weight that a step at the peak takes away",
              "clip": "largest norm of the gradient", "warmup_tokens": "tokens, linear from 0",
              "cooldown_fraction": "share of the tokens, down to 0"},
    "data": {"corpus": "files, folders, globs; or --corpus", "tokenizer_vocab": "entries",
             "valid_percent": "percent of the documents"},
    "machine": {"devices": "number of them"},
}  # fmt: skip


def plan_toml(plan: Plan) -> str:
    """The plan as TOML of schema 1; docs/planner.md describes every key."""
    text = tomli_w.dumps(plan_record(plan))
    lines, section = [], ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        unit = UNITS.get(section, {}).get(line.partition(" = ")[0])
        lines.append(f"{line}  # {unit}" if unit else line)
    return "\n".join(lines) + "\n"


def plan_record(plan: Plan) -> dict[str, Any]:
    """What `plan_toml` writes, as plain data."""
    base = {} if plan.base is None else {"base": _without_nothing(plan.base.to_dict())}
    return {
        "schema": SCHEMA,
        "plan": _decided(plan),
        "shape": _without_nothing(plan.shape.to_dict()),
        "train": _train(plan),
        **base,
        "optimizer": {"name": "adamw", **plan.adam},
        "data": {"corpus": [], "tokenizer_vocab": plan.shape.vocab, "valid_percent": 5.0},
        "machine": {
            "device": plan.device.name,
            "devices": plan.devices,
            "layout": vars(plan.layouts.choices[0].layout),
        },
    }


def _decided(plan: Plan) -> dict[str, Any]:
    allocation = plan.allocation
    bounds = {"loss_low": allocation.loss.low, "loss_high": allocation.loss.high}
    return {
        "source": plan.source,
        "asked": allocation.asked,
        "params": allocation.params.value,
        "loss": allocation.loss.value,
        **{name: value for name, value in bounds.items() if math.isfinite(value)},
        "flops": allocation.flops,
        "unique_tokens": round(allocation.unique_tokens),
        "status": [one.code for one in plan.status],
    }


def _train(plan: Plan) -> dict[str, Any]:
    first: dict[str, Suggestion] = {}
    for one in plan.hyperparameters:
        if isinstance(one.value, float | int):
            first.setdefault(one.name, one)
    batch = plan.layouts.choices[0].batch_tokens
    rate, decay = (float(first[name].value) for name in ("learning_rate", "weight_decay"))
    tokens = round(plan.allocation.tokens.value)
    steps = max(1, tokens // batch)
    warm_up = min(max(WARM_UP * steps, LEAST_WARM_UP), MOST_WARM_UP, LARGEST_WARM_UP * steps)
    return {
        "tokens": tokens,
        "batch_tokens": batch,
        "learning_rate": rate,
        # The published laws' decay is per step times the rate; what the optimiser takes is independent of the rate.
        "weight_decay": decay if "independent" in first["weight_decay"].unit else decay * rate,
        "clip": float(first["gradient_clip"].value),
        "warmup_tokens": round(warm_up) * batch,
        "schedule": "wsd",
        "cooldown_fraction": COOLDOWN,
        "parametrization": plan.parametrization,
    }


def _without_nothing(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}
