"""The blocks of one stack, and what is worked out once for all of them: who sees whom, rotations, biases of distance.

B batch, T tokens, D width, H heads, C channels of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.errors import UserError
from isoflop.models.attention import Rotation
from isoflop.models.blocks import Block
from isoflop.models.cache import NOWHERE, Cache
from isoflop.models.masks import View, pattern, seen_pairs, self_view, view_of
from isoflop.models.near import NearView, near_view
from isoflop.models.norms import build_norm
from isoflop.models.positions import BOUNDED, alibi_slopes, relative_buckets, rotary_table
from isoflop.models.prompts import Prompting
from isoflop.shapes import ModelShape
from isoflop.shapes.counting import RELATIVE_BUCKETS


class Layers(nn.Module):
    """Abstract: whatever has the blocks of one stack, added by `add_layers` and run by `run_layers`.

    With norms first there is one more behind the last block; with norms last, one before the first.
    """

    shape: ModelShape
    cos_TC: Tensor
    sin_TC: Tensor
    slope_H: Tensor

    def add_layers(self, shape: ModelShape, logit_scale: float, *, causal: bool, crossed: bool = False) -> None:
        """Make the blocks; `crossed` ones attend to an encoder too."""
        self.causal, first = causal, shape.norm_place == "pre"
        self.embedding_norm = None if first else build_norm(shape, shape.width)
        self.blocks = nn.ModuleList(Block(shape, logit_scale, crossed=crossed) for _ in range(shape.layers))
        self.norm = build_norm(shape, shape.width) if first else None
        self.relative = nn.Embedding(RELATIVE_BUCKETS, shape.heads) if shape.positions == "relative" else None
        self.prompt: Prompting | None = None  # adaptation's prompt tuning puts it there
        if shape.positions == "rotary":
            cos_TC, sin_TC = rotary_table(shape)
            self.register_buffer("cos_TC", cos_TC, persistent=False)
            self.register_buffer("sin_TC", sin_TC, persistent=False)
        if shape.positions == "alibi":
            self.register_buffer("slope_H", alibi_slopes(shape.heads), persistent=False)

    def run_layers(
        self,
        x_BTD: Tensor,
        *,
        documents: Tensor | None,
        prefix: Tensor | None = None,
        memory: tuple[Tensor, View] | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Embeddings to the stack's last states, (B, T, D) both; `memory`: what an encoder read, and the view of it.

        With a `cache` the tokens follow those in it, and their places are noted there already. The states of a prompt
        that is not yet in the cache stand before the others: (B, P + T, D).
        """
        if self.prompt is not None and (cache is None or not cache.own[0].count):
            x_BTD, documents, prefix = self._prompted(self.prompt, x_BTD, documents, prefix)
            if cache is not None:
                cache.put_before(self.prompt.length)
        if cache is None:
            view, rotation = self.view(x_BTD, documents, prefix), self._rotation(x_BTD.shape[1])
        else:
            view, rotation = self._view_back(cache, x_BTD.shape[1], prefix), self._rotation_at(cache, x_BTD.shape[1])
        if self.embedding_norm is not None:
            x_BTD = self.embedding_norm(x_BTD)
        if self.shape.dropout and self.training:
            x_BTD = F.dropout(x_BTD, self.shape.dropout)
        for number, block in enumerate(self.blocks):
            kept = None if cache is None else (cache.own[number], cache.crossed[number])
            x_BTD = block(x_BTD, rotation, view, memory, kept)
        return x_BTD if self.norm is None else self.norm(x_BTD)

    def _prompted(
        self, prompt: Prompting, x_BTD: Tensor, documents: Tensor | None, prefix: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The sequences with the prompt before them. Raises `UserError` where the context has no room for both."""
        length, context = x_BTD.shape[1], self.shape.context
        if length + prompt.length > context and self.shape.positions in BOUNDED:
            raise UserError(
                f"The batch has {length} tokens a sequence and the prompt before them {prompt.length}, but the model's "
                f"context is {context}."
            )
        x_BTD, documents, prefix = prompt(x_BTD, documents, prefix)
        return x_BTD, documents, prefix

    def of_tokens(self, x_BTD: Tensor, length: int) -> Tensor:
        """The states without those of a prompt. Without one it is `x_BTD` itself: a pipeline can't pass on a view."""
        return x_BTD if self.prompt is None else x_BTD[:, -length:]

    def _rotation(self, length: int) -> Rotation | None:
        if self.shape.positions != "rotary":
            return None
        return self.cos_TC[:length], self.sin_TC[:length]

    def _rotation_at(self, cache: Cache, length: int) -> Rotation | None:
        """Of the last `length` tokens of each sequence: (B or 1, 1, T, C/2)."""
        if self.shape.positions != "rotary":
            return None
        assert cache.places_BS is not None
        places_BT = cache.places_BS[:, None, -length:].clamp(0)
        return self.cos_TC[places_BT], self.sin_TC[places_BT]

    def _view_back(self, cache: Cache, length: int, prefix: Tensor | None) -> View:
        """How the last `length` tokens see all that the cache has noted, by their places."""
        key_BS = cache.places_BS
        assert key_BS is not None
        shape, query_BT = self.shape, key_BS[:, -length:]
        biased = shape.positions in ("relative", "alibi")
        plain = cache.is_even and prefix is None and shape.attention == "full" and not biased
        if plain and length in (1, key_BS.shape[1]):
            return View(causal=length > 1)
        seen_BTS = key_BS[:, None, :] <= query_BT[:, :, None]
        if prefix is not None:
            seen_BTS = seen_BTS | (key_BS[:, None, :] < prefix[:, None, None])
        if shape.attention != "full":
            seen_BTS = seen_BTS & pattern(shape, query_BT, key_BS)[0]
        seen_BTS = seen_BTS & (key_BS != NOWHERE)[:, None, :] & (query_BT != NOWHERE)[:, :, None]
        view = view_of(seen_BTS, may_be_blind=not cache.is_even, causal=False)
        if not biased:
            return view
        assert view.scores is not None
        bias_HBTS = self._bias(key_BS[:, None, :] - query_BT[:, :, None])
        return view._replace(scores=view.scores + bias_HBTS.transpose(0, 1))

    def _bias(self, distance: Tensor) -> Tensor:
        """What each head adds to the logits of tokens so far apart (j − i): (H, …)."""
        if self.relative is not None:
            buckets = relative_buckets(distance, buckets=RELATIVE_BUCKETS, both_sides=not self.causal)
            return self.relative(buckets).movedim(-1, 0)
        return -self.slope_H.view(-1, *[1] * distance.dim()) * distance.abs()

    def view(self, x_BTD: Tensor, documents: Tensor | None, prefix: Tensor | None) -> View | NearView:
        """Who sees whom, with the biases of distance in its scores."""
        biased = self.shape.positions in ("relative", "alibi")
        if not biased:
            near = near_view(self.shape, x_BTD, causal=self.causal, documents=documents, prefix=prefix)
            if near is not None:
                return near
        view = self_view(self.shape, x_BTD, causal=self.causal, documents=documents, prefix=prefix)
        return self._biased(view, x_BTD) if biased else view

    def view_between(self, query_1T: Tensor, key_1S: Tensor, documents: Tensor | None, prefix: Tensor | None) -> View:
        """The same of tokens at some places of a sequence on those at others; `documents` are the whole sequence's."""
        seen_B1TS = seen_pairs(self.shape, query_1T, key_1S, causal=self.causal, documents=documents, prefix=prefix)
        view = view_of(seen_B1TS[:, 0], may_be_blind=documents is not None, causal=False)
        if self.shape.positions not in ("relative", "alibi"):
            return view
        assert view.scores is not None
        bias_H1TS = self._bias(key_1S[:, None, :] - query_1T[:, :, None])
        return view._replace(scores=view.scores + bias_H1TS.transpose(0, 1))

    def _biased(self, view: View, x_BTD: Tensor) -> View:
        length = x_BTD.shape[1]
        distance_L = torch.arange(1 - length, length, device=x_BTD.device)
        bias_HL = self._bias(distance_L)
        place_T = torch.arange(length, device=x_BTD.device)
        scores = bias_HL[:, place_T[None, :] - place_T[:, None] + length - 1][None]
        if view.scores is not None:
            scores = scores + view.scores
        elif view.causal:
            scores = scores.masked_fill(place_T[None, :] > place_T[:, None], float("-inf"))
        return View(causal=False, scores=scores, blind=view.blind)
