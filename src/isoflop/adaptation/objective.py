"""What the training loop minimises: a task's own loss, or that with other weights, or beside the pretraining loss."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from isoflop.adaptation.joint import JointBatch
from isoflop.adaptation.losses import AnswerLoss
from isoflop.adaptation.task_model import EpochBatches, TaskModel
from isoflop.errors import UserError
from isoflop.evaluation import batch_loss
from isoflop.models import IGNORED, Batch


@final
class Objective(nn.Module):
    """A task's model as the training loop sees it: with a loss of its own, and the model's precision."""

    def __init__(self, model: TaskModel, answers: AnswerLoss, weight_K: Tensor | None) -> None:
        super().__init__()
        self.model, self.answers, self.weight_K = model, answers, weight_K
        if not answers.is_plain and getattr(model, "loss", None) is not None:
            raise UserError(
                "This task has a loss of its own, without labels to smooth, weigh or focus on: leave out "
                "--label-smoothing, --class-weights and --focal."
            )

    @property
    def compute_dtype(self) -> Any:
        return getattr(self.model, "compute_dtype", torch.float32)

    def loss(self, batch: Batch | JointBatch) -> Tensor:
        """The mean over the batch's answers, with α and the pretraining loss of the text in a joint batch.

        A part of a batch is computed as long as its own longest text.
        """
        if isinstance(batch, Batch):
            return self._task_loss(batch.trimmed())
        task = batch.alpha * self._task_loss(batch.task.trimmed())
        if not (batch.text.targets != IGNORED).any():  # texts of one token have nothing to predict
            return task
        return task + batch.share * batch_loss(self.model.body, batch.text.trimmed())

    def _task_loss(self, batch: Batch) -> Tensor:
        if self.answers.is_plain:
            return batch_loss(self.model, batch)
        logits = self.model.head(self.model.features(batch))  # type: ignore[operator]
        return self.answers(logits.flatten(0, 1), batch.targets.flatten(), self.weight_K)


def label_counts(batches: EpochBatches, labels: int) -> list[int]:
    """How often each of `labels` labels is an answer in an epoch."""
    counts = torch.zeros(labels, dtype=torch.int64)
    for step in range(batches.per_epoch):
        answers = batches.at(step).targets.flatten()
        counts += torch.bincount(answers[answers != IGNORED], minlength=labels)
    return counts.tolist()
