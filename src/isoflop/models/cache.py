"""What a decoder keeps of the tokens that it has read, so that the next token costs a pass of one token.

B sequences, T new tokens, S tokens kept so far with the new ones, K key-value heads, C channels of a head, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from isoflop.models.batch import PADDING, Batch

LEAST_ROOM = 16
"""Tokens that memory grows by at the least."""
NOWHERE = -1
"""Place of padding, which nobody sees."""


class Kept:
    """Keys and values of one attention, in memory that grows by a quarter when it is full."""

    def __init__(self) -> None:
        self._memory: list[Tensor] = []
        self.count = 0

    def add(self, k_BKTC: Tensor, v_BKTC: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the new ones behind those that are here; returns all, (B, K, S, C) both."""
        new, before = (k_BKTC, v_BKTC), self.count
        self.count += k_BKTC.shape[2]
        if not self._memory:
            # copies: these are parts of a larger tensor, all of which would stay alive
            self._memory = [one.clone(memory_format=torch.contiguous_format) for one in new]
            return self.all()
        room = self._memory[0].shape[2]
        if self.count > room:
            more = self.count + max(self.count // 4, LEAST_ROOM) - room
            self._memory = [F.pad(kept, (0, 0, 0, more)) for kept in self._memory]
        for kept_BKSC, new_BKTC in zip(self._memory, new, strict=True):
            kept_BKSC[:, :, before : self.count] = new_BKTC
        return self.all()

    def all(self) -> tuple[Tensor, Tensor]:
        """What was kept, (B, K, S, C) both."""
        k_BKSC, v_BKSC = (kept[:, :, : self.count] for kept in self._memory)
        return k_BKSC, v_BKSC

    def select(self, rows: Tensor) -> None:
        """Go on with these sequences, in this order."""
        self._memory = [kept[rows] for kept in self._memory]


class Cache:
    """Keys and values of a decoder's layers, the places of their tokens, and what an encoder read for them.

    It begins empty, is given to `features` with each batch of new tokens, and is filled there. Sequences of different
    lengths begin with padding on the left; the batches behind the first have none.
    """

    def __init__(self, layers: int) -> None:
        self.own = [Kept() for _ in range(layers)]
        self.crossed = [Kept() for _ in range(layers)]
        self.places_BS: Tensor | None = None
        """Each token's place in its own sequence, `NOWHERE` for padding; (1, S) where all sequences are alike."""
        self.memory_BSD: Tensor | None = None
        self.source_documents: Tensor | None = None
        self.is_even = True
        """Whether there is no padding."""
        self.longest = 0
        """Places of the longest sequence."""
        self.before = 0
        """Places of a prompt, which all sequences stand behind."""

    def extend(self, batch: Batch) -> Tensor:
        """Take note of a batch's tokens; returns their places (B or 1, T), counted from the end of a prompt."""
        length, device = batch.inputs.shape[1], batch.inputs.device
        if self.places_BS is None:
            if batch.documents is None:
                places_BT = torch.arange(length, device=device)[None]
            else:
                there_BT = batch.documents != PADDING
                places_BT = torch.where(there_BT, there_BT.cumsum(dim=1) - 1, NOWHERE)
            self.places_BS, self.is_even = places_BT, batch.documents is None
            self.longest = int(places_BT.max()) + 1
            return places_BT
        last_B1 = self.places_BS.amax(dim=1, keepdim=True)
        places_BT = last_B1 + torch.arange(1, length + 1, device=device)
        self.places_BS = torch.cat((self.places_BS, places_BT), dim=1)
        self.longest += length
        return places_BT - self.before

    def put_before(self, length: int) -> None:
        """Take note of a prompt of so many vectors before the first tokens, whose places are behind it from now on."""
        assert self.places_BS is not None
        later_BS = torch.where(self.places_BS == NOWHERE, NOWHERE, self.places_BS + length)
        own_BP = torch.arange(length, device=later_BS.device).expand(len(later_BS), -1)
        self.places_BS = torch.cat((own_BP, later_BS), dim=1)
        self.before, self.longest = length, self.longest + length

    def select(self, rows: Tensor) -> None:
        """Go on with these sequences (their numbers), in this order; one may come several times."""
        self.reorder(rows)
        for kept in self.crossed:
            kept.select(rows)
        if self.memory_BSD is not None:
            self.memory_BSD = self.memory_BSD[rows]
        if self.source_documents is not None:
            self.source_documents = self.source_documents[rows]

    def reorder(self, rows: Tensor) -> None:
        """The same where each sequence takes the place of one with the same source, as beams do."""
        for kept in self.own:
            kept.select(rows)
        if self.places_BS is not None and not self.is_even:
            self.places_BS = self.places_BS[rows]
            self.longest = int(self.places_BS.max()) + 1
