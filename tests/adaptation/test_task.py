"""The seam between the engine and a task: names and settings, a loss of one's own, folders of before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from isoflop.adaptation import Classify, Recipe, Result, finetune, load_classifier, read_result, read_split, task_named
from isoflop.errors import UserError
from isoflop.evaluation import batch_loss
from isoflop.models import Batch
from isoflop.training.loop import backward


def test_a_task_is_found_by_its_name_and_its_settings_are_checked() -> None:
    assert task_named("classify", {"text": "words"}) == Classify(text="words")
    with pytest.raises(UserError, match="--task is 'clasify': choose classify"):
        task_named("clasify")
    with pytest.raises(UserError, match="no setting 'stride': it has text, label"):
        task_named("classify", {"stride": "4"})


class Squares(nn.Module):
    """Its loss is its own: the mean square of the targets times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def loss(self, batch: Batch) -> Tensor:
        return self.weight * batch.targets.float().square().mean()


def test_a_models_own_loss_is_asked_first_whole_or_in_parts() -> None:
    batch = Batch(torch.zeros(3, 1, dtype=torch.int64), torch.tensor([[1], [2], [4]]))
    model = Squares()
    assert batch_loss(model, batch).item() == 7.0
    for parts in (1, 2):
        model.zero_grad()
        assert float(backward(model, batch, parts=parts)) == 7.0
        assert float(model.weight.grad) == 7.0  # type: ignore[arg-type]


def test_folders_of_before_are_still_read(encoder: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    split = read_split(tables["train"], test=tables["test"])
    *_, result = finetune(encoder, split, out=tmp_path, recipe=Recipe(epochs=1))
    assert isinstance(result, Result)
    assert read_result(tmp_path) == result
    assert set(json.loads((tmp_path / "metrics.json").read_text())["scores"]["test"]) == {
        *("examples", "accuracy", "macro_precision", "macro_recall", "macro_f1", "micro_precision", "micro_recall"),
        *("micro_f1", "calibration_error", "nats", "nats_standard_error", "labels", "confusion"),
    }
    told = load_classifier(tmp_path).predict(["a lovely film"])
    (tmp_path / "model" / "task.json").rename(tmp_path / "model" / "classifier.json")
    assert load_classifier(tmp_path).predict(["a lovely film"]) == told
