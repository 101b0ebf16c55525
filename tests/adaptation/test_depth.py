"""Rates that fall with depth, and blocks that are trained later."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.adaptation import Lora, Recipe
from isoflop.adaptation.classifier import Classifier
from isoflop.adaptation.depth import depth_of, train_from_above, trained_names
from isoflop.models import build_model, parametrization
from isoflop.shapes import ModelShape


def classifier() -> Classifier:
    shape = ModelShape(
        layers=3,
        width=16,
        heads=2,
        ffn=16,
        vocab=40,
        context=8,
        stack="encoder",
        positions="learned",
        segments=2,
        tied=True,
    )
    model, _ = build_model(shape, parametrization("sp"), base=shape, seed=0)
    return Classifier(model, 2, pooling="mean")


def test_depth_counts_layers_from_the_answer() -> None:
    depths = {name: depth_of(name, 3) for name, _ in classifier().named_parameters()}
    assert depths["head.weight"] == depths["body.norm.weight"] == 0
    assert depths["body.blocks.2.attention.qkv.weight"] == 1
    assert depths["body.blocks.0.feed_forward.up.weight"] == 3
    assert depths["body.embedding.weight"] == depths["body.segment_table.weight"] == 4
    assert depth_of("body.encoder.blocks.0.attention.qkv.weight", 3) == 3
    assert depth_of("body.encoder.embedding_norm.weight", 3) == 4
    assert depth_of("body.prompt.vectors_PD", 3) == depth_of("segments.blocks.0.attention.qkv.weight", 3) == 0


def test_rates_fall_by_the_factor_from_layer_to_layer() -> None:
    model = classifier()
    optimizer = Recipe(learning_rate=1e-3, layer_decay=0.5).optimizer(model)
    rate = {id(weight): group["peak_lr"] for group in optimizer.param_groups for weight in group["params"]}
    rates = {name: rate[id(weight)] for name, weight in model.named_parameters()}
    assert rates["head.weight"] == 1e-3
    assert rates["body.blocks.1.attention.out.weight"] == pytest.approx(0.25e-3)
    assert rates["body.embedding.weight"] == pytest.approx(1e-3 / 16)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.01}
    assert len(Recipe().optimizer(model).param_groups) == 2


def test_blocks_are_trained_from_above() -> None:
    model = classifier()
    all_names = trained_names(model)
    train_from_above(model, all_names, blocks=0)
    assert trained_names(model) == {"head.weight", "head.bias", "body.norm.weight"}
    train_from_above(model, all_names, blocks=1)
    blocks = {name.split(".")[2] for name in trained_names(model) if "blocks" in name}
    assert blocks == {"2"}
    assert "body.embedding.weight" not in trained_names(model)
    train_from_above(model, all_names, blocks=3)
    assert trained_names(model) == all_names


def test_a_method_keeps_what_it_does_not_train() -> None:
    model = classifier()
    Lora().prepare(model.body, seed=0)
    lora = trained_names(model)
    train_from_above(model, lora, blocks=3)
    assert trained_names(model) == lora


def test_blocks_that_no_epoch_reaches_are_said(tmp_path: Path) -> None:
    assert Recipe(unfreeze=1).notes(classifier()) == (
        "In 3 epochs the lowest 1 of 3 blocks and the embeddings are never trained.",
    )
    assert Recipe(unfreeze=2).notes(classifier()) == Recipe().notes(classifier()) == ()
