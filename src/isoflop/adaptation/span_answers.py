"""A model that points at the start and the end of an answer, and the best answer that it points at.

B batch, T tokens, N examples, n tokens of a window's context, D width.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from isoflop.adaptation.heads import last_states, new_head
from isoflop.adaptation.prediction import outputs
from isoflop.adaptation.task_model import TaskModel
from isoflop.adaptation.windows import NO_ANSWER, Windows
from isoflop.evaluation.answers import normalized
from isoflop.models import PADDING, Batch, Model

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


@final
class SpanModel(TaskModel):
    """`body` with a `head` of two outputs behind every state: how likely an answer starts, and ends, there.

    Targets are (B, 2), places of tokens. Devlin et al. 2019, arXiv 1810.04805, sections 4.2 and 4.3.
    """

    def __init__(self, body: Model, *, seed: int = 0) -> None:
        super().__init__()
        self.body = body
        self.head = new_head(body.shape.width, 2, seed=seed)

    def forward(self, batch: Batch) -> Tensor:
        """Logits of start and end (B, 2, T); padding has minus infinity."""
        body: Any = self.body
        logits_B2T = self.head(last_states(body, batch)).transpose(1, 2).float()
        if batch.documents is None:
            return logits_B2T
        return logits_B2T.masked_fill((batch.documents == PADDING)[:, None], -math.inf)

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy in nats of the two places."""
        return F.cross_entropy(self(batch).flatten(0, 1), batch.targets.flatten())


@dataclass(frozen=True)
class Answers:
    """The best stretch of each context (N), by how much it is likelier than no answer, and each example's loss in nats
    (None without right answers)."""

    texts: list[str]
    margins: list[float]
    nats: list[float]


def answers_of(
    model: SpanModel,
    windows: Windows,
    pairs: Sequence[tuple[str, str]],
    most: int,
    *,
    targets: Sequence[tuple[int, int]] | None = None,
) -> Answers:
    """The best stretch of at most `most` tokens over all windows of each context.

    Its margin is the sum of its two logits less that of no answer, which is the least over the windows (Devlin et al.
    2019, section 4.3, and its code).
    """
    best = [(-math.inf, "")] * len(pairs)
    none, nats = [math.inf] * len(pairs), [0.0] * len(pairs)
    counts = np.bincount([window.example for window in windows.windows], minlength=len(pairs))
    segments = model.body.shape.segments > 1
    for chosen, logits_B2T in outputs(model, windows.texts, has_segments=segments):
        log_p_B2T = torch.log_softmax(logits_B2T, dim=-1)
        for row, at in enumerate(chosen):
            window, logits_2T = windows.windows[at], logits_B2T[row].double().cpu().numpy()
            example = window.example
            none[example] = min(none[example], float(logits_2T[:, NO_ANSWER].sum()))
            score, start, end = _best_span(logits_2T[:, window.first : window.first + len(window.offsets)], most)
            if score > best[example][0]:
                begin, stop = int(window.offsets[start, 0]), int(window.offsets[end, 1])
                best[example] = (score, pairs[example][1][begin:stop].strip())
            if targets is not None:
                places = torch.tensor(targets[at], device=log_p_B2T.device)[:, None]
                nats[example] -= float(log_p_B2T[row].gather(1, places).mean()) / float(counts[example])
    margins = [score - silent for (score, _), silent in zip(best, none, strict=True)]
    return Answers([text for _, text in best], margins, nats)


def likest_sentence(question: str, context: str) -> str:
    """The first sentence of the context among those with most words of the question."""
    asked = set(normalized(question))
    sentences = [one for one in SENTENCE_END.split(context) if one.strip()]
    return max(sentences, key=lambda one: len(asked & set(normalized(one)))).strip()


def _best_span(logits_2n: Any, most: int) -> tuple[float, int, int]:
    """The stretch of at most `most` tokens with the largest sum of the logits of its start and its end."""
    start_n, end_n = logits_2n
    sums = start_n[:, None] + end_n[None, :]
    steps = np.arange(len(end_n))[None, :] - np.arange(len(start_n))[:, None]
    sums[(steps < 0) | (steps >= most)] = -math.inf
    start, end = np.unravel_index(int(sums.argmax()), sums.shape)
    return float(sums[start, end]), int(start), int(end)
