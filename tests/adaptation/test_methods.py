"""Methods and recipes as values: what is refused, and what a batch and a pool are."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from isoflop.adaptation import Full, HeadOnly, Lora, PrefixTuning, PromptTuning, Recipe, method_named
from isoflop.adaptation.batches import TextBatches, padded
from isoflop.adaptation.classifier import pooled
from isoflop.adaptation.methods import METHODS
from isoflop.adaptation.pretrained import Tokenized
from isoflop.errors import UserError


def test_methods_by_name() -> None:
    assert method_named("full") == Full()
    assert method_named("head") == HeadOnly()
    assert method_named("lora", rank=4, targets=("up",)) == Lora(4, ("up",))
    assert method_named("dora") == Lora(decomposed=True)
    assert method_named("prefix", length=7) == PrefixTuning(7)
    assert method_named("p-tuning") == PromptTuning(encoded=True)
    assert [method_named(name).name for name in METHODS] == list(METHODS)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("lora", {"rank": 0}, "at least 1"),
        ("lora", {"targets": ("query",)}, "no layer query: choose its targets from qkv, out, up, down"),
        ("full", {"rank": 4}, "are for lora and dora, not for full"),
        ("prompt", {"targets": ("up",)}, "are for lora and dora, not for prompt"),
        ("lora", {"length": 4}, "is for prompts and prefixes, not for lora"),
        ("head", {"length": 4}, "is for prompts and prefixes, not for head"),
        ("prefix", {"length": 0}, "--prompt-length must be at least 1"),
        ("adapter", {}, "choose one of full, head, lora, dora, prefix, prompt, p-tuning"),
    ],
)
def test_a_method_that_there_is_not_is_refused(name: str, settings: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        method_named(name, **settings)


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"batch": 0}, "--batch"),
        ({"epochs": 0}, "--epochs"),
        ({"learning_rate": 0.0}, "--lr"),
        ({"learning_rate": float("nan")}, "--lr"),
        ({"seed": -1}, "--seed"),
        ({"pooling": "max"}, "--pooling"),
        ({"precision": "fp8"}, "--precision"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_by_its_flag(settings: Any, flag: str) -> None:
    with pytest.raises(UserError, match=flag):
        Recipe(**settings)


def test_every_epoch_sees_each_text_once_in_an_order_of_its_own() -> None:
    batches = TextBatches(Tokenized(tuple((n,) for n in range(10)), 0), list(range(10)), batch=4, seed=0)
    assert batches.per_epoch == 3
    epochs = [[batches.at(step) for step in range(start, start + 3)] for start in (0, 3)]
    orders = [[int(token) for batch in epoch for token in batch.inputs.flatten()] for epoch in epochs]
    assert [sorted(order) for order in orders] == [list(range(10))] * 2
    assert orders[0] != orders[1]
    assert all(torch.equal(batch.inputs, batch.targets) for epoch in epochs for batch in epoch)


def test_pooling_leaves_padding_out() -> None:
    batch = padded([[5, 6, 7], [8]])
    x_BTD = torch.tensor([[[1.0], [2.0], [6.0]], [[4.0], [100.0], [100.0]]])
    assert pooled(x_BTD, batch.documents, "mean").flatten().tolist() == [3, 4]
    assert pooled(x_BTD, batch.documents, "last").flatten().tolist() == [6, 4]
    assert pooled(x_BTD, batch.documents, "first").flatten().tolist() == [1, 4]
    assert padded([[1, 2], [3, 4]]).documents is None
