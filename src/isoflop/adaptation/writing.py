"""Learning to write: tokens that are read, tokens that are to be written, batches of like lengths, the loss.

B sequences, T tokens, S tokens of a source.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isoflop.adaptation.batches import alike_of
from isoflop.adaptation.methods import METHODS
from isoflop.adaptation.pretrained import Pretrained
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.saved import check_filled
from isoflop.adaptation.task_model import TaskModel
from isoflop.errors import UserError
from isoflop.evaluation.cross_entropy import Head, cross_entropy_rows
from isoflop.evaluation.loss import precision_of
from isoflop.generation import Decoding, Manner, Marks, TextGenerator, read_manner
from isoflop.models import IGNORED, PADDING, Batch, EncoderDecoder, Model

TOGETHER = 50
"""Batches whose sequences are sorted by length before they are divided: little padding, and still much chance."""


@dataclass(frozen=True)
class Lesson:
    """Tokens of one sequence and which of them are to be predicted; `source` is what an encoder reads of it."""

    tokens: tuple[int, ...]
    learnt: tuple[bool, ...]
    source: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.tokens) + len(self.source or ())

    @property
    def prompt(self) -> tuple[int, ...]:
        """What is read before the first token that is to be predicted, or by the encoder."""
        return self.tokens[: self.learnt.index(True)] if self.source is None else self.source


@final
class Writer(TaskModel):
    """A decoder or an encoder-decoder with its own head, which predicts the next token."""

    def __init__(self, body: Model) -> None:
        super().__init__()
        self.body = body

    @property
    def has_encoder(self) -> bool:
        return isinstance(self.body, EncoderDecoder)

    @property
    def head(self) -> nn.Linear:
        """The pretrained model's."""
        return self.body.head

    def features(self, batch: Batch) -> Tensor:
        """What goes into the head: (B, T, D)."""
        return self.body.features(batch)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, T, V)."""
        return self.body(batch)

    def unread(self) -> list[nn.Parameter]:
        """None: its own head is what it learns with."""
        return []

    def joined(self, answer: str) -> str:
        """An answer as it stands behind what is read: a decoder reads both as one text, where a space parts them."""
        return answer if self.has_encoder else f" {answer}"

    def lesson(self, prompt: tuple[int, ...], answer: tuple[int, ...], marks: Marks) -> Lesson:
        """How to answer `prompt`."""
        if self.has_encoder:
            assert marks.start is not None
            return Lesson((marks.start, *answer), (False, *[True] * len(answer)), prompt)
        return Lesson((*prompt, *answer), (*[False] * len(prompt), *[True] * len(answer)))


def check_method(recipe: Recipe) -> None:
    """Raises `UserError` for a method that would train nothing: a model that writes has its own head, and no other."""
    if recipe.method.name == "head":
        able = ", ".join(name for name in METHODS if name != "head")
        raise UserError(f"--method head would train nothing, since a task of writing adds no head: choose {able}.")


@dataclass(frozen=True)
class LessonBatches:
    """Batches of `batch` lessons of like length; a step's batch is a function of `seed` and step alone."""

    lessons: Sequence[Lesson]
    batch: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """Steps in which every lesson is seen once."""
        return math.ceil(len(self.lessons) / self.batch)

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        epoch, place = divmod(step, self.per_epoch)
        return batch_of([self.lessons[at] for at in self._epoch(epoch)[place]])

    def _epoch(self, epoch: int) -> list[list[int]]:
        """The lessons' numbers in batches: drawn, sorted within some batches, the batches in an order drawn anew."""
        draw = np.random.default_rng([self.seed, epoch])
        order, batches = draw.permutation(len(self.lessons)).tolist(), []
        for start in range(0, len(order), TOGETHER * self.batch):
            near = sorted(order[start : start + TOGETHER * self.batch], key=lambda at: len(self.lessons[at]))
            batches += [near[at : at + self.batch] for at in range(0, len(near), self.batch)]
        return [batches[at] for at in draw.permutation(len(batches))]


def batch_of(lessons: Sequence[Lesson]) -> Batch:
    """Lessons side by side, filled up at their ends: each token but the last is read, and predicts the one behind."""
    tokens_BT, there_BT = _filled([one.tokens for one in lessons])
    learnt_BT, _ = _filled([one.learnt for one in lessons])
    batch = Batch(
        inputs=tokens_BT[:, :-1],
        targets=torch.where(learnt_BT > 0, tokens_BT, IGNORED)[:, 1:],
        documents=there_BT[:, 1:],  # what has none behind it need not be read
    )
    if lessons[0].source is None:
        return batch
    source_BS, there_BS = _filled([one.source or () for one in lessons])
    return batch._replace(source=source_BS, source_documents=there_BS)


@torch.no_grad()
def lesson_nats(model: Writer, lessons: Sequence[Lesson]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nats of each lesson's learnt tokens together, and how many these are: (N,) both, in the lessons' order."""
    was_training, head = model.training, model.head
    device = head.weight.device
    nats, counts = np.zeros(len(lessons)), np.array([sum(one.learnt) for one in lessons], dtype=np.float64)
    model.eval()
    with precision_of(model, device):
        for rows in alike_of(lessons):
            batch = batch_of([lessons[at] for at in rows]).to(device)
            counted_BT = batch.targets != IGNORED
            plain = Head(head.weight, head.bias, head.weight.dtype)
            each = cross_entropy_rows(model.features(batch)[counted_BT].float(), plain, batch.targets[counted_BT])
            owner = counted_BT.nonzero()[:, 0].cpu().numpy()
            nats[rows] = np.bincount(owner, weights=each.double().cpu().numpy(), minlength=len(rows))
    model.train(was_training)
    return nats, counts


def mean_nats(model: Writer, lessons: Sequence[Lesson]) -> tuple[float, float]:
    """Mean loss in nats per learnt token, first within and then over lessons, and its standard error."""
    nats, counts = lesson_nats(model, lessons)
    each = nats / counts
    return float(each.mean()), float(each.std() / math.sqrt(len(each)))


@dataclass(frozen=True)
class SavedWriter:
    """A saved model that writes, greedily."""

    generator: TextGenerator
    decoding: Decoding
    inputs = ("prompt",)

    def rows(self, examples: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """What it writes for each prompt, and the prompt."""
        check_filled(examples)
        prompts = [prompt for (prompt,) in examples]
        written = self.generator.write(prompts, self.decoding)
        return [(one.text.strip(), text) for one, text in zip(written, prompts, strict=True)]


def manner_of(pretrained: Pretrained) -> Manner:
    """How the pretrained model says that it is asked."""
    assert pretrained.info.tokenizer is not None
    return read_manner(pretrained.info.tokenizer.parent)


def _filled(rows: Sequence[Sequence[int | bool]]) -> tuple[Tensor, Tensor]:
    """Rows side by side, filled up with 0 at their ends, and where there is something: (B, T) both."""
    longest = max(map(len, rows))
    filled_BT = torch.zeros(len(rows), longest, dtype=torch.int64)
    there_BT = torch.full_like(filled_BT, PADDING)
    for at, row in enumerate(rows):
        filled_BT[at, : len(row)] = torch.tensor(row, dtype=torch.int64)
        there_BT[at, : len(row)] = PADDING + 1
    return filled_BT, there_BT
