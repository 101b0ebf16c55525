"""Prefix tuning: trained keys and values that every attention layer sees before those of the tokens.

B batch, S tokens that are looked at, P places of the prefix, K key-value heads, C channels of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from isoflop.adaptation.methods.method import check_length
from isoflop.errors import UserError
from isoflop.models import Batch, EncoderDecoder, Model
from isoflop.models.attention import Attention
from isoflop.models.masks import View
from isoflop.models.prompts import Prefix


@dataclass(frozen=True)
class PrefixTuning:
    """`length` keys and values in each layer (Li and Liang 2021, arXiv 2101.00190, section 4.2), trained themselves; of
    an encoder-decoder in the self-attention of both stacks.

    They start as those that the layers give to tokens drawn at random (section 7.4: to start from activations is what
    makes it stable). They are behind the rotation of keys and take no place of the context.
    """

    length: int = 20
    name = "prefix"
    learning_rate = 1e-2
    places = 0

    def __post_init__(self) -> None:
        check_length(self.length)

    def prepare(self, body: Model, *, seed: int) -> None:
        """Put keys and values into the attention layers of `body`; nothing else of it is trained."""
        if body.shape.attention not in ("full", "strided"):
            raise UserError(
                f"A prefix has to be seen from everywhere, and this model's attention is {body.shape.attention!r}: "
                "choose another method."
            )
        body.requires_grad_(False)
        for layer, (keys_KPC, values_KPC) in _drawn(body, self.length, seed).items():
            layer.prefix = Prefix(keys_KPC, values_KPC)

    def finish(self, body: Model) -> None:
        """Nothing to do: the prefixes are saved beside the model."""


@torch.no_grad()
def _drawn(body: Model, length: int, seed: int) -> dict[Attention, tuple[Tensor, Tensor]]:
    """Keys and values of random tokens in every layer, as many as the prefix is long."""
    generator = torch.Generator().manual_seed(seed)
    layers = [layer for layer in body.modules() if isinstance(layer, Attention)]
    for layer in layers:
        layer.prefix = _Recorder()
    was_training = body.training
    body.eval()
    at_once = min(length, body.shape.context)
    for start in range(0, length, at_once):
        count = min(at_once, length - start)
        tokens_1P = torch.randint(body.shape.vocab, (1, count), generator=generator)
        body.features(Batch(tokens_1P, tokens_1P, source=tokens_1P if isinstance(body, EncoderDecoder) else None))
    body.train(was_training)
    found = {}
    for layer in layers:
        recorder, layer.prefix = layer.prefix, None
        assert isinstance(recorder, _Recorder)
        found[layer] = (torch.cat(recorder.keys, dim=1), torch.cat(recorder.values, dim=1))
    return found


@final
class _Recorder(nn.Module):
    """Notes the keys and values of one row of tokens and leaves them as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def forward(self, k_BKSC: Tensor, v_BKSC: Tensor, view: View, *, is_kept: bool) -> tuple[Tensor, Tensor, View]:
        del is_kept
        self.keys.append(k_BKSC[0].clone())
        self.values.append(v_BKSC[0].clone())
        return k_BKSC, v_BKSC, view
