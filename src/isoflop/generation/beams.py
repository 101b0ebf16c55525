"""Beam search: the sequences of highest probability that a few partial ones, growing side by side, lead to.

G prompts still searched, K beams of each, V vocabulary.
"""

from __future__ import annotations

import heapq

import torch
from torch import Tensor

from isoflop.errors import UserError
from isoflop.generation.choosing import penalised
from isoflop.generation.decoding import Beams
from isoflop.generation.reader import Marks, Reader


class _Search:
    """The beams of one prompt: token sequences with their log-probabilities, and the best that have ended."""

    def __init__(self, row: int, most: int, beams: Beams) -> None:
        self.row, self.most, self.beams = row, most, beams
        self.growing: list[tuple[float, list[int]]] = [(0.0, [])]
        self.parents: list[int] = []
        """Which of the former beams each one goes on from."""
        self._ended: list[tuple[float, int, list[int]]] = []
        """A heap of the best, the worst of them on top; equal ones stay in the order in which they came."""
        self._count = 0

    def step(self, candidates: list[tuple[float, int, int]], stop: frozenset[int]) -> None:
        """Go on by the likeliest (log-probability, beam, token), best first. One that ends counts if it is among the
        first K; as many others go on."""
        grown: list[tuple[float, list[int]]] = []
        self.parents, before = [], self.growing
        for rank, (total, beam, token) in enumerate(candidates):
            tokens = [*before[beam][1], token]
            if token in stop or len(tokens) == self.most:
                if rank < self.beams.count:
                    self._end(self._score(total, tokens), tokens)
            elif len(grown) < self.beams.count:
                grown.append((total, tokens))
                self.parents.append(beam)
        self.growing = grown

    def _score(self, total: float, tokens: list[int]) -> float:
        return float(total / len(tokens) ** self.beams.length_penalty)

    def _end(self, score: float, tokens: list[int]) -> None:
        heapq.heappush(self._ended, (score, -self._count, tokens))
        self._count += 1
        if len(self._ended) > self.beams.count:
            heapq.heappop(self._ended)

    @property
    def is_over(self) -> bool:
        """Whether nothing goes on, or the best beam, were it to end now, would not be among the K that have ended."""
        if not self.growing:
            return True
        if len(self._ended) < self.beams.count:
            return False
        total, tokens = self.growing[0]
        return self._score(total, tokens) <= self._ended[0][0]

    @property
    def best(self) -> list[int]:
        return max(self._ended)[2]


def best_of_beams(reader: Reader, most: list[int], *, beams: Beams, penalty: float, marks: Marks) -> list[list[int]]:
    """The best sequence found for each row of `reader`, with the stop token that ended it; at most `most` tokens."""
    vocab, width = reader.logits_BV.shape[-1], beams.count
    wanted = (1 + max(1, len(marks.stop))) * width  # so that K go on though every beam ends by every stop token
    if wanted > vocab:
        raise UserError(f"--beams {width} needs {wanted} tokens to choose from, and the vocabulary has {vocab}.")
    searches = [_Search(row, limit, beams) for row, limit in enumerate(most)]
    active = searches
    while True:
        log_BV = penalised(reader.logits_BV.log_softmax(dim=-1), reader.seen_BV, penalty)
        for search, candidates in zip(active, _candidates(log_BV, active, wanted), strict=True):
            search.step(candidates, marks.stop)
        still = [search for search in active if not search.is_over]
        if not still:
            return [search.best for search in searches]
        _go_on(reader, active, still)
        active = still


def _candidates(log_BV: Tensor, active: list[_Search], wanted: int) -> list[list[tuple[float, int, int]]]:
    """The likeliest continuations of each search: total log-probability, beam, token."""
    vocab = log_BV.shape[-1]
    so_far_GK = torch.tensor([[total for total, _ in search.growing] for search in active], device=log_BV.device)
    total_GKV = log_BV.view(*so_far_GK.shape, vocab) + so_far_GK[..., None]
    best_GC, place_GC = total_GKV.flatten(1).topk(wanted, dim=-1)
    return [
        [(total, *divmod(place, vocab)) for total, place in zip(totals, places, strict=True)]
        for totals, places in zip(best_GC.tolist(), place_GC.tolist(), strict=True)
    ]


def _go_on(reader: Reader, before: list[_Search], still: list[_Search]) -> None:
    """Let the reader have a row for each beam that goes on, and read its last token."""
    rows, device = reader.logits_BV.shape[0], reader.logits_BV.device
    each, first = rows // len(before), {search.row: number for number, search in enumerate(before)}
    parents = [first[search.row] * each + parent for search in still for parent in search.parents]
    same = len(parents) == rows and len(still) == len(before)
    reader.select(torch.tensor(parents, device=device), same_prompts=same)
    reader.read(torch.tensor([tokens[-1] for search in still for _, tokens in search.growing], device=device))
