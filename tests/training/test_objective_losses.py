"""The loss of every objective is what a loop in plain Python makes of the model's logits, also in several pieces."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from isoflop.data import OBJECTIVES, Source, Vocabulary, objective
from isoflop.evaluation import batch_loss, validation_loss
from isoflop.models import IGNORED, Batch, Model, build_model, parametrization
from isoflop.shapes import ModelShape
from isoflop.training import Choice, set_precision
from isoflop.training.loop import backward

TEXT_SIZE, END, CONTEXT, BATCH = 40, 0, 16, 6


def source_of(name: str) -> Source:
    draw = np.random.default_rng(0)
    specials = objective(name).special_tokens(CONTEXT)
    vocabulary = Vocabulary(TEXT_SIZE, END, specials, starts_word=np.arange(TEXT_SIZE) % 2 == 0)
    tokens = draw.integers(0, TEXT_SIZE, 2000).astype(np.uint16)
    pairs = [
        tuple((*draw.integers(1, TEXT_SIZE, draw.integers(1, CONTEXT - 1)).tolist(), END) for _ in range(2))
        for _ in range(20)
    ]
    return Source(tokens, vocabulary, CONTEXT, BATCH, seed=0, pairs=pairs)  # type: ignore[arg-type]


def model_for(name: str) -> Model:
    one = objective(name)
    shape = ModelShape(
        layers=1,
        width=16,
        heads=2,
        vocab=source_of(name).vocabulary.size,
        context=CONTEXT,
        ffn=24,
        stack=one.stack,
        segments=2 if one.asks_about_pairs else 0,
        pooler=one.asks_about_pairs,
        positions="relative" if one.stack == "encoder_decoder" else "rotary",
    )
    model, _ = build_model(shape, parametrization("u-mup"), base=shape, seed=0)
    return model


def nats(logits: list[float], answer: int) -> float:
    """-log softmax, in Python floats."""
    top = max(logits)
    return math.log(math.fsum(math.exp(x - top) for x in logits)) + top - logits[answer]


def by_hand(model: Model, batch: Batch) -> tuple[list[list[float]], list[float]]:
    """The nats of each sequence's predicted tokens, and of each pair's label."""
    with torch.no_grad():
        logits = model(batch).tolist()
        labels = [] if batch.order is None else model.pair_logits(batch).tolist()  # type: ignore[operator]
    tokens = [
        [nats(place, answer) for place, answer in zip(row, answers, strict=True) if answer != IGNORED]
        for row, answers in zip(logits, batch.targets.tolist(), strict=True)
    ]
    orders = [] if batch.order is None else batch.order.tolist()
    return tokens, [nats(row, answer) for row, answer in zip(labels, orders, strict=True)]


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loss_is_a_loop_over_the_right_places(name: str) -> None:
    model, batch = model_for(name), objective(name).loader(source_of(name)).at(1)
    tokens, labels = by_hand(model, batch)
    expected = mean([one for row in tokens for one in row]) + (mean(labels) if labels else 0.0)
    assert batch_loss(model, batch).item() == pytest.approx(expected, rel=1e-5)
    found = validation_loss(model, batch)
    assert found.nats == pytest.approx(mean([one for row in tokens for one in row]), rel=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_batch_in_parts_has_the_loss_and_gradient_of_the_whole(name: str) -> None:
    """The parts have unequally many predicted tokens, so that a mean of their means would be another number."""
    model, batch = model_for(name), objective(name).loader(source_of(name)).at(1)
    whole = backward(model, batch, parts=1)
    expected = {key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    assert backward(model, batch, parts=4).item() == pytest.approx(whole.item(), rel=1e-6)
    for key, value in model.named_parameters():
        if key in expected:
            assert value.grad is not None
            assert torch.allclose(value.grad, expected[key], rtol=1e-4, atol=1e-6)


def test_parts_that_counted_alike_would_give_another_loss() -> None:
    model, batch = model_for("prefix"), objective("prefix").loader(source_of("prefix")).at(1)
    wrong = mean([batch_loss(model, part).item() for part in batch.split(1)])
    assert wrong != pytest.approx(batch_loss(model, batch).item(), rel=1e-4)


@pytest.mark.parametrize("name", ["causal", "causal-packed", "prefix", "masked", "masked-words", "span"])
def test_what_is_to_be_predicted_is_not_seen(name: str) -> None:
    """Another true token at a predicted place changes that place's target, and no logit that predicts it.

    Of masking, where one in ten of the asked tokens stays to be seen, only the hidden places are looked at.
    """
    source = source_of(name)
    model, loader, found = model_for(name), objective(name).loader(source), 0
    for place in np.flatnonzero(source.tokens != END)[100:1800:6]:
        changed, old = source.tokens.copy(), int(source.tokens[place])
        changed[place] = old + 2 if old + 2 < TEXT_SIZE else old - 2  # which begins a word as the old one did
        twin = objective(name).loader(dataclasses.replace(source, tokens=changed))
        for step in range(4):
            batch, other = loader.at(step), twin.at(step)
            moved = (batch.targets != other.targets).nonzero().tolist()
            if len(moved) != 1 or (name.startswith("masked") and not batch.inputs.equal(other.inputs)):
                continue
            row, column = moved[0]
            with torch.no_grad():
                assert torch.allclose(model(batch)[row, column], model(other)[row, column], atol=1e-5)
            found += 1
    assert found >= 3


@pytest.mark.parametrize("parts", [1, 3])
def test_the_loss_is_computed_in_the_precision_that_was_chosen(parts: int) -> None:
    model, batch = model_for("causal"), objective("causal").loader(source_of("causal")).at(0)
    exact = backward(model, batch, parts=parts)
    with torch.autocast("cpu", torch.bfloat16):
        expected = backward(model, batch, parts=parts)
    found = backward(set_precision(model, Choice("bf16")), batch, parts=parts)
    assert found != exact
    assert found == expected
