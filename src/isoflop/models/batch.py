"""What a model reads and is to predict: the one type that passes from data through models to the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import NamedTuple

import torch
from torch import Tensor

IGNORED = -100
"""Target of a place where nothing is to be predicted (what torch's cross-entropy leaves out by default)."""
PADDING = 0
"""Document number of a place that holds no token."""


class Batch(NamedTuple):
    """Token numbers (int64) of B sequences; a named tuple, so that torch's own tools look inside.

    `inputs` and `targets` are (B, T); a target is `IGNORED` where nothing is predicted. `documents` (B, T): a token
    sees only tokens with its own number, `PADDING` marks padding; None: one document, no padding. `prefix` (B,): how
    many first tokens see each other in both directions. `segments` (B, T): BERT's token types. `order` (B,): label of
    the sentence pair. `source` and `source_documents` (B, S): what the encoder of an encoder-decoder reads.
    """

    inputs: Tensor
    targets: Tensor
    documents: Tensor | None = None
    prefix: Tensor | None = None
    segments: Tensor | None = None
    order: Tensor | None = None
    source: Tensor | None = None
    source_documents: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on `device`."""
        return self._mapped(lambda part: part.to(device, non_blocking=True))

    def split(self, sequences: int) -> Iterator[Batch]:
        """The batch in pieces of at most so many sequences."""
        for start in range(0, len(self.inputs), sequences):
            yield self._mapped(itemgetter(slice(start, start + sequences)))

    def trimmed(self) -> Batch:
        """The same without the places at the end that hold no token of any sequence; one without padding says so.

        Targets of tokens are cut with them, labels of sequences are not. A batch that has a source stays as it is.
        """
        if self.documents is None or self.source is not None:
            return self
        length, there_BT = self.inputs.shape[1], self.documents != PADDING
        longest = max(1, int(there_BT.any(dim=0).sum()))
        if longest < length and there_BT[:, longest:].any():  # padding stands between tokens
            return self
        of_tokens = self.targets.shape[1] == length and bool((self.targets[:, longest:] == IGNORED).all())
        documents = self.documents[:, :longest]
        return self._replace(
            inputs=self.inputs[:, :longest],
            targets=self.targets[:, :longest] if of_tokens else self.targets,
            documents=None if bool((documents == PADDING + 1).all()) else documents,
            segments=None if self.segments is None else self.segments[:, :longest],
        )

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch._make(None if part is None else change(part) for part in self)
