"""Prompt tuning and P-tuning: trained vectors stand before the embeddings of every sequence, and nothing else changes.

B batch, T tokens, D width, P vectors of the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast, final

import torch
from torch import Tensor, nn

from isoflop.adaptation.methods.method import check_length
from isoflop.models import EncoderDecoder, Model
from isoflop.models.layers import Layers
from isoflop.models.prompts import Prompt, Prompting


@dataclass(frozen=True)
class PromptTuning:
    """`length` vectors that take the first places of the context and that every token sees; in an encoder-decoder they
    stand before the source, and the decoder sees what the encoder makes of them. They start as embeddings of tokens
    drawn at random (Lester et al. 2021, arXiv 2104.08691, section 2.1).

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
        body.requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tokens_P = torch.randint(body.shape.vocab, (self.length,))
            vectors_PD = body.embedding.weight.detach()[tokens_P].clone()
            _first_stack(body).prompt = EncodedPrompt(vectors_PD) if self.encoded else Prompt(vectors_PD)

    def finish(self, body: Model) -> None:
        """Keep the vectors, which are saved beside the model, and drop the network that made them."""
        trained = _first_stack(body).prompt
        assert trained is not None
        _first_stack(body).prompt = Prompt(trained.vectors().detach().clone())


def _first_stack(body: Model) -> Layers:
    """The stack that reads the user's text."""
    return body.encoder if isinstance(body, EncoderDecoder) else cast(Layers, body)


@final
class EncodedPrompt(Prompting):
    """Vectors that a network makes of others, which are trained with it."""

    def __init__(self, inner_PD: Tensor) -> None:
        super().__init__()
        width = inner_PD.shape[1]
        self.inner_PD = nn.Parameter(inner_PD)
        self.lstm = nn.LSTM(width, width, bidirectional=True)
        self.layers = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    @property
    def length(self) -> int:
        return len(self.inner_PD)

    def vectors(self) -> Tensor:
        with torch.autocast(self.inner_PD.device.type, enabled=False):
            states_PD, _ = self.lstm(self.inner_PD)
            return self.layers(states_PD)
