"""The joint objective: a task is learnt while the model goes on with what it was pretrained for.

B texts, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from isoflop.adaptation.batches import TextBatches
from isoflop.adaptation.pretrained import Pretrained, tokenize
from isoflop.adaptation.task_model import EpochBatches
from isoflop.errors import UserError
from isoflop.models import IGNORED, PADDING, Batch, Encoder

MASKS = ("[MASK]", "<mask>")
ASKED, HIDDEN, SWAPPED = 0.15, 0.8, 0.1
"""Shares of BERT's masking (Devlin et al. 2019, arXiv 1810.04805, section 3.1)."""


@dataclass(frozen=True)
class Joint:
    """L = L_pretrain + α·L_task, with α going in a line from `first` to `last` over the training.

    L_pretrain is that of masked words for an encoder and of the next token for a decoder, on the texts of the task's
    own batch, or on as many lines of the file `text`.
    """

    first: float
    last: float
    text: Path | None = None

    def __post_init__(self) -> None:
        if not all(0 <= alpha < math.inf for alpha in (self.first, self.last)) or not self.first + self.last:
            raise UserError("--joint-alpha must be at least 0 and finite, and not 0 throughout.")

    def alpha(self, step: int, steps: int) -> float:
        """α of `step`, counted from 0."""
        return self.first + (self.last - self.first) * step / max(1, steps - 1)


def joint_in(alpha: str, text: Path | None) -> Joint | None:
    """What `--joint-alpha` says, A or A:B; None where it says nothing. Raises `UserError` for the rest."""
    if not alpha:
        if text is not None:
            raise UserError("--joint-text is for the joint objective: add --joint-alpha.")
        return None
    try:
        first, _, last = alpha.partition(":")
        return Joint(float(first), float(last or first), text)
    except ValueError:
        raise UserError(f"--joint-alpha is {alpha!r}: write a number, or two as in 0:1.") from None


@dataclass(frozen=True)
class JointBatch:
    """A task's batch with a `text` to predict and α. `share` is the text's weight where the batch is a part of one."""

    task: Batch
    text: Batch
    alpha: float
    share: float = 1.0

    @property
    def inputs(self) -> Tensor:
        return self.task.inputs

    @property
    def targets(self) -> Tensor:
        return self.task.targets

    def to(self, device: torch.device | str) -> JointBatch:
        """The same batch on `device`."""
        return replace(self, task=self.task.to(device), text=self.text.to(device))

    def split(self, sequences: int) -> Iterator[JointBatch]:
        """The batch in pieces of at most so many sequences.

        Who adds them up weighs each by its share of the task's answers; `share` makes the text's weight its own.
        """
        parts = list(self.task.split(sequences))
        ends = [len(self.text.inputs) * (number + 1) // len(parts) for number in range(len(parts))]
        answers, predicted = _asked(self.task), max(1, _asked(self.text))
        for task, start, end in zip(parts, [0, *ends], ends, strict=False):
            text = Batch._make(None if one is None else one[start:end] for one in self.text)
            share = (_asked(text) / predicted) / (_asked(task) / answers)
            yield replace(self, task=task, text=text, share=share)


def _asked(batch: Batch) -> int:
    return int((batch.targets != IGNORED).sum())


class JointBatches:
    """A task's batches, each with a text to predict."""

    def __init__(self, batches: EpochBatches, joint: Joint, *, pretrained: Pretrained, steps: int, seed: int) -> None:
        body, tokenizer = pretrained.model, pretrained.tokenizer
        self.batches, self.joint, self.steps, self.seed = batches, joint, steps, seed
        self.per_epoch = batches.per_epoch
        self.masking = Hiding.of(tokenizer, body.shape.vocab) if isinstance(body, Encoder) else None
        self.texts: TextBatches | None = None
        if joint.text is not None:
            size = len(batches.at(0).inputs)
            lines = tokenize(tokenizer, _lines(joint.text), longest=body.shape.context)
            self.texts = TextBatches(lines, [0] * len(lines), size, seed)

    def at(self, step: int) -> JointBatch:
        """The batch of `step`, counted from 0."""
        task = self.batches.at(step)
        plain = task if self.texts is None else self.texts.at(step)
        draw = np.random.default_rng([self.seed, step, 1])
        text = next_tokens(plain) if self.masking is None else self.masking.apply(plain, draw)
        return JointBatch(task, text, self.joint.alpha(step, self.steps))


def next_tokens(batch: Batch) -> Batch:
    """Each token is to predict the next one of its text."""
    targets_BT = torch.full_like(batch.inputs, IGNORED)
    targets_BT[:, :-1] = batch.inputs[:, 1:]
    if batch.documents is not None:
        follows_BT = torch.zeros_like(batch.documents, dtype=torch.bool)
        follows_BT[:, :-1] = (batch.documents[:, 1:] == batch.documents[:, :-1]) & (batch.documents[:, 1:] != PADDING)
        targets_BT = targets_BT.masked_fill(~follows_BT, IGNORED)
    return Batch(batch.inputs, targets_BT, batch.documents)


@dataclass(frozen=True)
class Hiding:
    """BERT's masking for any tokenizer: `kept` (V,) are its special tokens, which are never asked for."""

    mask: int
    kept: torch.Tensor

    @classmethod
    def of(cls, tokenizer: Tokenizer, vocab: int) -> Hiding:
        """Raises `UserError` for a tokenizer without a token to mask with."""
        mask = next((tokenizer.token_to_id(name) for name in MASKS if tokenizer.token_to_id(name) is not None), None)
        if mask is None:
            raise UserError(
                f"The tokenizer has no {MASKS[0]}, so words can't be masked: leave out --joint-alpha, or take an "
                "encoder that was pretrained on masked words."
            )
        kept = torch.zeros(vocab, dtype=torch.bool)
        kept[[number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special]] = True
        kept[mask] = True
        return cls(mask, kept)

    def apply(self, batch: Batch, draw: np.random.Generator) -> Batch:
        """A share of each text's tokens, one at least, is to be predicted; most of these are hidden, some swapped."""
        inputs_BT = batch.inputs
        may_BT = ~self.kept[inputs_BT]
        if batch.documents is not None:
            may_BT &= batch.documents != PADDING
        keys_BT = torch.from_numpy(draw.random(inputs_BT.shape)).masked_fill(~may_BT, 2.0)
        count_B1 = (ASKED * may_BT.sum(dim=1, keepdim=True)).round().clamp_min(1)
        asked_BT = (keys_BT.argsort(dim=1).argsort(dim=1) < count_B1) & may_BT
        fate_BT = torch.from_numpy(draw.random(inputs_BT.shape))
        other_BT = torch.from_numpy(draw.integers(0, len(self.kept), tuple(inputs_BT.shape)))
        hidden_BT, swapped_BT = fate_BT < HIDDEN, (fate_BT >= HIDDEN) & (fate_BT < HIDDEN + SWAPPED)
        seen_BT = torch.where(asked_BT & hidden_BT, self.mask, inputs_BT)
        seen_BT = torch.where(asked_BT & swapped_BT, other_BT, seen_BT)
        targets_BT = torch.where(asked_BT, inputs_BT, IGNORED)
        return Batch(seen_BT, targets_BT, batch.documents)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}: name one with --joint-text that has a text in each line.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read as UTF-8 text ({error}).") from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise UserError(f"{path} has no text in it: --joint-text needs a file with a text in each line.")
    return texts
