"""How the next token is chosen, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from isoflop.errors import UserError


@dataclass(frozen=True)
class Greedy:
    """The likeliest token each time."""


@dataclass(frozen=True)
class Sample:
    """A token drawn by its probability at `temperature`, from the `top_k` likeliest, and of those from the fewest that
    have the probability `top_p` together (Holtzman et al. 2020, arXiv 1904.09751, section 3.1)."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise UserError(f"--temperature must be above 0 and finite, not {self.temperature:g}; 0 is greedy choice.")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"--top-k must be at least 1, not {self.top_k}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"--top-p must be above 0 and at most 1, not {self.top_p:g}.")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed must be at least 0 and below 2^31, not {self.seed}.")


@dataclass(frozen=True)
class Beams:
    """The best of `count` sequences that grow side by side, by log-probability / length^`length_penalty`."""

    count: int = 4
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UserError(f"--beams must be at least 1, not {self.count}.")
        if not math.isfinite(self.length_penalty):
            raise UserError(f"--length-penalty must be finite, not {self.length_penalty}.")


Choice = Greedy | Sample | Beams


@dataclass(frozen=True)
class Decoding:
    """A way of choosing, the most tokens of an answer, and a penalty on tokens that are there already.

    A penalty above 1 divides the positive logits of tokens seen before and multiplies the negative ones (Keskar et al.
    2019, arXiv 1909.05858, section 4.1; negative ones as transformers does).
    """

    choice: Choice = field(default_factory=Greedy)
    max_tokens: int = 128
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise UserError(f"--max-tokens must be at least 1, not {self.max_tokens}.")
        if not 0 < self.repetition_penalty < math.inf:
            raise UserError(f"--repetition-penalty must be above 0 and finite, not {self.repetition_penalty:g}.")
