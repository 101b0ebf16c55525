"""A causal model that scores continuations: how probable are these tokens behind those.

B sequences, T tokens, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from isoflop.errors import UserError
from isoflop.evaluation.language_model import StockModel, read_language_model
from isoflop.evaluation.lengths import alike
from isoflop.models import Batch, Decoder
from isoflop.models.cache import Cache

TOKENS_AT_ONCE = 1024
"""Tokens of a batch: enough for fast matrix products, and the logits of a large vocabulary still fit."""
WORTH_REMEMBERING = 16
"""Tokens that all sequences begin with, from which on they are computed once."""

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Continuation:
    """Tokens `behind` that stand behind tokens `before`."""

    before: Tokens
    behind: Tokens

    @property
    def read(self) -> Tokens:
        """What the model has to read to say how probable `behind` is."""
        return self.before + self.behind[:-1]


@dataclass(frozen=True)
class CausalModel:
    """A decoder with its tokenizer, which puts no marks behind a text, its longest sequence, and notes for the user."""

    decoder: Decoder | StockModel
    tokenizer: Tokenizer
    context: int
    notes: tuple[str, ...] = ()
    dtype: torch.dtype = torch.float32

    @torch.inference_mode()
    def log_probabilities(
        self, continuations: Sequence[Continuation], tell: Callable[[float], None] | None = None
    ) -> list[float]:
        """ln P(behind | before) of each in nats, summed over its tokens; `tell` hears the share that is done.

        Sequences of like length share a batch; what is asked of the same sequence is read off one pass.
        """
        asked: dict[Tokens, list[int]] = {}
        for at, one in enumerate(continuations):
            asked.setdefault(one.read, []).append(at)
        order = sorted(asked, key=len)
        start, remembered = self._remembered(order, continuations)
        found = [0.0] * len(continuations)
        done = 0
        for chosen in alike([len(row) for row in order], TOKENS_AT_ONCE):
            rows = [order[at] for at in chosen]
            places = [at for row in rows for at in asked[row]]
            first = min(len(continuations[at].before) for at in places) - 1
            logs_BTV = self._logs([row[start:] for row in rows], len(rows[-1]) - first, remembered)
            for number, row in enumerate(rows):
                for at in asked[row]:
                    found[at] = _sum(logs_BTV[number], continuations[at], first)
            done += len(rows)
            if tell is not None:
                tell(done / len(order))
        return found

    def _remembered(self, rows: Sequence[Tokens], continuations: Sequence[Continuation]) -> tuple[int, Any]:
        """How many tokens all sequences begin with, before any that is asked for, and what the layers keep of them."""
        start = min(common_start(rows), min(len(one.before) for one in continuations) - 1)
        if start < WORTH_REMEMBERING or len(rows) < 2:
            return 0, None
        beginning_1T = torch.tensor([rows[0][:start]])
        with self._precision():
            if isinstance(self.decoder, StockModel):
                stock: Any = self.decoder.stock
                return start, stock(beginning_1T, use_cache=True, logits_to_keep=1).past_key_values
            cache = Cache(len(self.decoder.blocks))
            self.decoder.features(Batch(beginning_1T, beginning_1T), cache)
            return start, cache

    def _logs(self, rows: Sequence[Tokens], last: int, remembered: Any) -> Tensor:
        """ln P of every token behind the `last` places of the longest of `rows`: (B, last, V).

        Shorter rows are filled up at their ends, which no earlier token sees.
        """
        inputs_BT = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
        for number, row in enumerate(rows):
            inputs_BT[number, : len(row)] = torch.tensor(row)
        cache = copy.deepcopy(remembered)
        with self._precision():
            if isinstance(self.decoder, StockModel):
                if cache is not None:
                    cache.batch_repeat_interleave(len(rows))
                stock: Any = self.decoder.stock
                logits = stock(inputs_BT, past_key_values=cache, logits_to_keep=last).logits
            else:
                if cache is not None:
                    cache.select(torch.zeros(len(rows), dtype=torch.int64))
                logits = self.decoder.head(self.decoder.features(Batch(inputs_BT, inputs_BT), cache)[:, -last:])
        return torch.log_softmax(logits.float(), dim=-1)

    def _precision(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16)


def read_causal(path: Path, *, dtype: torch.dtype = torch.float32) -> CausalModel:
    """The causal model of a folder of isoflop's, a Hugging Face checkpoint, or a GGUF file or its folder.

    Raises `UserError` where there is none, or no tokenizer that fits it and leaves a text open at its end.
    """
    found = read_language_model(path)
    if not isinstance(found.module, (Decoder, StockModel)):
        raise UserError(f"{path} is no decoder: a prompt is continued by a causal model.")
    marks = found.tokenizer.encode("a").special_tokens_mask
    if marks and marks[-1]:
        raise UserError(f"The tokenizer of {path} puts a mark behind each text, so no prompt can be continued.")
    return CausalModel(found.module, found.tokenizer, found.context, found.notes, dtype)


def common_start(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with."""
    least, most = min(map(tuple, rows)), max(map(tuple, rows))
    return next((at for at, pair in enumerate(zip(least, most, strict=False)) if pair[0] != pair[1]), len(least))


def _sum(logs_TV: Tensor, one: Continuation, first: int) -> float:
    """ln P of the continuation's tokens, of log-probabilities that begin at place `first`."""
    begin = len(one.before) - 1 - first
    logs_TV = logs_TV[begin : begin + len(one.behind)]
    return float(logs_TV[torch.arange(len(one.behind)), torch.tensor(one.behind)].double().sum())
