"""How wrong an answer is, where that is not the plain cross-entropy: smoothed labels, weights of labels, focal loss.

N answers, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isoflop.errors import UserError
from isoflop.models import IGNORED

BALANCED = "balanced"


@dataclass(frozen=True)
class AnswerLoss:
    """The mean over the N answers that are asked for, in nats, of

        w_y · (1 − p_y)^γ · ((1 − ε)·(−log p_y) + ε/K · Σ_k −log p_k)

    with p = softmax(logits) and y the answer. ε is `smoothing` (Szegedy et al. 2015, arXiv 1512.00567, section 7), γ is
    `focal` (Lin et al. 2017, arXiv 1708.02002, equation 4). w are the `weights`: none, given by label (others have 1),
    or balanced: N/(K·N_y) with the counts of the training part. It is divided by N and not by the sum of the weights,
    so that what an answer adds does not depend on what else is in its batch.
    """

    smoothing: float = 0.0
    focal: float = 0.0
    weights: str | tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise UserError(f"--label-smoothing must be at least 0 and below 1, not {self.smoothing}.")
        if not 0 <= self.focal < math.inf:
            raise UserError(f"--focal must be at least 0 and finite, not {self.focal}.")
        if isinstance(self.weights, str) and self.weights != BALANCED:
            raise UserError(
                f"--class-weights is {self.weights!r}: write {BALANCED}, or LABEL=WEIGHT with commas between."
            )
        for label, weight in self.weights if isinstance(self.weights, tuple) else ():
            if not 0 < weight < math.inf:
                raise UserError(f"--class-weights gives {label!r} the weight {weight}: it must be above 0 and finite.")

    @property
    def is_plain(self) -> bool:
        """Whether it is the cross-entropy that every model is trained on anyway."""
        return self == AnswerLoss()

    def __call__(self, logits_NK: Tensor, answers_N: Tensor, weight_K: Tensor | None = None) -> Tensor:
        """The loss, a scalar; answers that are `IGNORED` count nothing."""
        asked_N = answers_N != IGNORED
        logits_NK, answers_N = logits_NK[asked_N].float(), answers_N[asked_N]
        log_p_NK = torch.log_softmax(logits_NK, dim=-1)
        right_N = log_p_NK.gather(-1, answers_N[:, None])[:, 0]
        loss_N = -right_N
        if self.smoothing:
            loss_N = (1 - self.smoothing) * loss_N - self.smoothing * log_p_NK.mean(dim=-1)
        if self.focal:
            loss_N = loss_N * (-torch.expm1(right_N)).clamp_min(1e-12) ** self.focal
        if weight_K is not None:
            loss_N = loss_N * weight_K[answers_N]
        return loss_N.mean()

    def weight_of(self, labels: Sequence[str], counts: Sequence[int]) -> Tensor | None:
        """The weight of each label (K,), None without any. Raises `UserError` for a label that there is not."""
        if not self.weights:
            return None
        if not labels:
            raise UserError("--class-weights is for tasks whose answers are labels: leave it out.")
        if isinstance(self.weights, str):
            mean = sum(counts) / len(counts)
            return torch.tensor([mean / count if count else 1.0 for count in counts])
        given = dict(self.weights)
        strange = next((label for label in given if label not in labels), None)
        if strange is not None:
            raise UserError(f"--class-weights names {strange!r}, which is no label: they are {', '.join(labels)}.")
        return torch.tensor([given.get(label, 1.0) for label in labels])


def weights_in(text: str) -> str | tuple[tuple[str, float], ...]:
    """What `--class-weights` says: `balanced`, or LABEL=WEIGHT with commas between. Raises `UserError` for the rest."""
    if "=" not in text:
        return text or ()
    found = []
    for one in text.split(","):
        label, _, number = one.rpartition("=")
        try:
            found.append((label.strip(), float(number)))
        except ValueError:
            raise UserError(f"--class-weights has {one!r}: write LABEL=WEIGHT, as in bad=1,good=2.5.") from None
    return tuple(found)
