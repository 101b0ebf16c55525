"""Prompt tuning and P-tuning: trained vectors stand before the embeddings of every sequence, and nothing else changes.

B batch, T tokens, D width, P vectors of the prompt.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import cast, final

import torch
from torch import Tensor, nn

from isoflop.adaptation.methods.refusing import check_length, refuse_encoder_decoder
from isoflop.models import Model
from isoflop.models.layers import Layers


@dataclass(frozen=True)
class PromptTuning:
    """`length` vectors that take the first places of the context and that every token sees. They start as embeddings of
    tokens drawn at random (Lester et al. 2021, arXiv 2104.08691, section 2.1).

    Vectors of a table of positions or segments are not added to them: what they need of those they learn. With
    `encoded` it is P-tuning (Liu et al. 2021, arXiv 2103.10385, section 3.2): what stands there is what a small network
    makes of the vectors, a two-way LSTM and two layers behind it, of which nothing is kept after training.
    """

    length: int = 20
    encoded: bool = False

    def __post_init__(self) -> None:
        check_length(self.length)

    @property
    def name(self) -> str:
        return "p-tuning" if self.encoded else "prompt"

    @property
    def learning_rate(self) -> float:
        return 1e-3 if self.encoded else 1e-2

    @property
    def places(self) -> int:
        return self.length

    def prepare(self, body: Model, *, seed: int) -> None:
        """Put the vectors before the layers of `body`; nothing else of it is trained."""
        refuse_encoder_decoder(body, "A prompt")
        body.requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tokens_P = torch.randint(body.shape.vocab, (self.length,))
            vectors_PD = body.embedding.weight.detach()[tokens_P].clone()
            cast(Layers, body).prompt = EncodedPrompt(vectors_PD) if self.encoded else Prompt(vectors_PD)

    def finish(self, body: Model) -> None:
        """Keep the vectors, which are saved beside the model, and drop the network that made them."""
        trained = cast(Layers, body).prompt
        assert isinstance(trained, Prompting)
        cast(Layers, body).prompt = Prompt(trained.vectors().detach().clone())


class Prompting(nn.Module):
    """Abstract: what stands at `Layers.prompt`."""

    @abstractmethod
    def vectors(self) -> Tensor:
        """The prompt: (P, D)."""

    def forward(
        self, x_BTD: Tensor, documents: Tensor | None, prefix: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The sequences with the prompt before them; it belongs to each row's first document."""
        vectors_PD = self.vectors().to(x_BTD.dtype)
        length = len(vectors_PD)
        x_BTD = torch.cat((vectors_PD.expand(len(x_BTD), -1, -1), x_BTD), dim=1)
        if documents is not None:
            documents = torch.cat((documents[:, :1].expand(-1, length), documents), dim=1)
        return x_BTD, documents, None if prefix is None else prefix + length


@final
class Prompt(Prompting):
    """Vectors that are trained themselves."""

    def __init__(self, vectors_PD: Tensor) -> None:
        super().__init__()
        self.vectors_PD = nn.Parameter(vectors_PD)

    def vectors(self) -> Tensor:
        return self.vectors_PD


@final
class EncodedPrompt(Prompting):
    """Vectors that a network makes of others, which are trained with it."""

    def __init__(self, inner_PD: Tensor) -> None:
        super().__init__()
        width = inner_PD.shape[1]
        self.inner_PD = nn.Parameter(inner_PD)
        self.lstm = nn.LSTM(width, width, bidirectional=True)
        self.layers = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def vectors(self) -> Tensor:
        with torch.autocast(self.inner_PD.device.type, enabled=False):
            states_PD, _ = self.lstm(self.inner_PD)
            return self.layers(states_PD)
