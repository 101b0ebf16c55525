"""Early stopping: which epoch is best, what is kept of it, and when training ends."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from isoflop.adaptation import EpochEnded, Recipe, Result, Split, Stepped, finetune, read_split
from isoflop.adaptation.stopping import BestEpoch
from isoflop.errors import UserError
from isoflop.models.storage import read_weights


@pytest.fixture(scope="module")
def split(tables: dict[str, Path]) -> Split:
    return read_split(tables["test"], dev=tables["dev"])


def model_of(value: float) -> nn.Module:
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, value)
    return model


def test_the_best_epoch_is_kept_and_nan_is_never_best() -> None:
    best = BestEpoch({"weight"})
    best.take(model_of(1.0), 1, math.nan)
    assert best.epoch == 0
    for epoch, worth in ((2, 0.5), (3, 0.7), (4, math.nan), (5, 0.7)):
        assert not best.is_over(3)
        best.take(model_of(epoch), epoch, worth)
    assert (best.epoch, best.is_over(2), best.is_over(3)) == (3, True, False)
    model = model_of(9.0)
    model.bias.data.fill_(9.0)
    again = BestEpoch({"weight"})
    again.load(best.state())
    again.restore(model)
    assert (model.weight.item(), model.bias.item()) == (3.0, 9.0)
    assert again.notes(10) == (
        "Training ended after epoch 5 of 10. Dev was best after epoch 3, whose weights are kept.",
    )


def test_what_is_never_a_number_ends_too_and_keeps_the_last_weights() -> None:
    best = BestEpoch({"weight"})
    for epoch in (1, 2):
        best.take(model_of(1.0), epoch, math.nan)
    assert best.is_over(2)
    model = model_of(5.0)
    best.restore(model)
    assert model.weight.item() == 5.0
    assert best.notes(2) == ()


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_training_ends_early_with_the_best_weights_also_when_resumed(
    interrupted: bool, encoder: Path, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worths = iter([0.5, 0.9, 0.6, math.nan, 0.8, 0.99])
    kept: list[dict[str, Any]] = []
    take = BestEpoch.take

    def scripted(self: BestEpoch, model: nn.Module, epoch: int, worth: float) -> None:
        take(self, model, epoch, next(worths))
        kept.append({name: weight.detach().clone() for name, weight in model.named_parameters()})

    monkeypatch.setattr(BestEpoch, "take", scripted)
    monkeypatch.setattr("isoflop.adaptation.tasks.classify.fit_floor", lambda split: None)
    monkeypatch.setattr("isoflop.adaptation.finetuning.CHECKPOINT_SECONDS", 0.0)
    recipe = Recipe(learning_rate=5e-3, batch=25, epochs=9, patience=3)
    if interrupted:  # in the epoch behind the best one
        for event in finetune(encoder, split, out=tmp_path, recipe=recipe):
            if isinstance(event, Stepped) and event.step == 11:
                break
    *events, result = finetune(encoder, split, out=tmp_path, recipe=recipe)
    assert isinstance(result, Result)
    assert [one.epoch for one in events if isinstance(one, EpochEnded)][-1] == 5
    saved = read_weights(tmp_path / "model" / "weights.safetensors")
    assert all(torch.equal(weight, kept[1][f"body.{name}"]) for name, weight in saved.items())
    assert not torch.equal(saved["embedding.weight"], kept[4]["body.embedding.weight"])
    told = "Training ended after epoch 5 of 9. Dev was best after epoch 2, whose weights are kept."
    assert told in result.warnings
    assert told in (tmp_path / "model" / "README.md").read_text()


def test_patience_needs_dev(encoder: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--patience stops by what dev says"):
        next(finetune(encoder, read_split(tables["test"], test=tables["dev"]), out=tmp_path, recipe=Recipe(patience=1)))
