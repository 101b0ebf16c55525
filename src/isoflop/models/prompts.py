"""What a model may have learnt to see before every sequence: vectors (a prompt), or keys and values in each layer (a
prefix). Methods of adaptation put them there.

B batch, T new tokens, S tokens that are looked at, P places of the prompt, K key-value heads, C channels of a head, D
width.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.models.batch import PADDING
from isoflop.models.masks import View


class Prompting(nn.Module):
    """Abstract: what stands at `Layers.prompt`."""

    @property
    @abstractmethod
    def length(self) -> int:
        """Vectors of the prompt: P."""

    @abstractmethod
    def vectors(self) -> Tensor:
        """The prompt: (P, D)."""

    def forward(
        self, x_BTD: Tensor, documents: Tensor | None, prefix: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The sequences with the prompt before them; it belongs to each row's first document."""
        vectors_PD = self.vectors().to(x_BTD.dtype)
        x_BTD = torch.cat((vectors_PD.expand(len(x_BTD), -1, -1), x_BTD), dim=1)
        return x_BTD, self.before(documents), None if prefix is None else prefix + self.length

    def before(self, documents: Tensor | None) -> Tensor | None:
        """Document numbers (B, T) with those of the prompt before them (B, P + T); padding may be on either side."""
        if documents is None:
            return None
        first_B1 = documents.gather(1, (documents != PADDING).int().argmax(dim=1, keepdim=True))
        return torch.cat((first_B1.expand(-1, self.length), documents), dim=1)


@final
class Prompt(Prompting):
    """Vectors that are trained themselves."""

    def __init__(self, vectors_PD: Tensor) -> None:
        super().__init__()
        self.vectors_PD = nn.Parameter(vectors_PD)

    @property
    def length(self) -> int:
        return len(self.vectors_PD)

    def vectors(self) -> Tensor:
        return self.vectors_PD


@final
class Prefix(nn.Module):
    """What stands at `Attention.prefix`: keys and values (K, P, C) before those of the tokens."""

    def __init__(self, keys_KPC: Tensor, values_KPC: Tensor) -> None:
        super().__init__()
        self.keys_KPC, self.values_KPC = nn.Parameter(keys_KPC), nn.Parameter(values_KPC)

    def forward(self, k_BKTC: Tensor, v_BKTC: Tensor, view: View, *, is_kept: bool) -> tuple[Tensor, Tensor, View]:
        """Keys and values with those of the prefix before them, unless a cache has these already (`is_kept`), and the
        view with the prefix seen from everywhere."""
        if not is_kept:
            k_BKTC, v_BKTC = (
                torch.cat((own_KPC.to(x_BKTC.dtype).expand(len(x_BKTC), -1, -1, -1), x_BKTC), dim=2)
                for own_KPC, x_BKTC in ((self.keys_KPC, k_BKTC), (self.values_KPC, v_BKTC))
            )
        length, scores = self.keys_KPC.shape[1], view.scores
        if scores is None and view.causal:
            seen = k_BKTC.shape[2] - length
            scores = k_BKTC.new_full((1, 1, seen, seen), -torch.inf, dtype=torch.float32).triu(1)
        if scores is not None:
            scores = F.pad(scores, (length, 0))
        return k_BKTC, v_BKTC, View(False, scores, view.blind)
