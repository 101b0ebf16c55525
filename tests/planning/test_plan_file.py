"""plan.toml: what training and study may rely on."""

from __future__ import annotations

import tomllib

import pytest

from isoflop.planning.plan_file import plan_toml
from isoflop.planning.planner import plan
from isoflop.shapes import ModelShape

LAW = "chinchilla:besiroglu2024"


def test_every_key_that_training_reads_is_there() -> None:
    made = plan(LAW, flops=1e22)
    read = tomllib.loads(plan_toml(made))
    assert list(read) == ["schema", "plan", "shape", "train", "optimizer", "data", "machine"]
    assert read["schema"] == 1
    assert ModelShape(**read["shape"]) == made.shape
    assert set(read["train"]) == {
        "tokens", "batch_tokens", "learning_rate", "weight_decay", "clip", "warmup_tokens", "schedule",
        "cooldown_fraction", "parametrization",
    }  # fmt: skip
    assert read["train"]["tokens"] == round(made.allocation.tokens.value)
    assert read["train"]["batch_tokens"] == made.layouts.choices[0].batch_tokens
    assert isinstance(read["train"]["batch_tokens"], int)
    assert read["optimizer"] == {"name": "adamw", "beta1": 0.9, "beta2": 0.95, "eps": 1e-8}
    assert read["data"] == {"corpus": [], "tokenizer_vocab": made.shape.vocab, "valid_percent": 5.0}
    assert set(read["machine"]) == {"device", "devices", "layout"}


def test_the_decay_is_what_the_optimiser_takes_independent_of_the_rate() -> None:
    made = plan(LAW, flops=1e22)
    read = tomllib.loads(plan_toml(made))["train"]
    coupled = next(one.value for one in made.hyperparameters if one.name == "weight_decay")
    assert read["weight_decay"] == pytest.approx(coupled * read["learning_rate"])


def test_warm_up_is_a_hundredth_of_the_steps_but_no_more_than_a_tenth_of_a_short_run() -> None:
    for flops, share in ((1e15, 0.1), (1e21, 0.01)):
        read = tomllib.loads(plan_toml(plan(LAW, flops=flops)))["train"]
        steps = read["tokens"] // read["batch_tokens"]
        warm_up = read["warmup_tokens"] / read["batch_tokens"]
        assert warm_up == pytest.approx(min(max(0.01 * steps, 100), 2000, 0.1 * steps), abs=1)
        assert warm_up <= max(share, 100 / steps) * steps + 1


def test_every_number_has_its_unit_beside_it() -> None:
    lines = [line for line in plan_toml(plan(LAW, flops=1e20)).splitlines() if " = " in line]
    said = {line.split(" = ")[0]: line.partition("# ")[2] for line in lines}
    for name in ("tokens", "batch_tokens", "learning_rate", "weight_decay", "warmup_tokens", "flops", "loss"):
        assert said[name]
