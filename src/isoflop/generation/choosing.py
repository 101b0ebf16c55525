"""From logits to the next token.

B sequences, V vocabulary.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from isoflop.generation.decoding import Sample


def penalised(scores_BV: Tensor, seen_BV: Tensor | None, penalty: float) -> Tensor:
    """Scores with those of seen tokens made worse; `penalty` 1 changes nothing."""
    if penalty == 1 or seen_BV is None:
        return scores_BV
    worse_BV = torch.where(scores_BV > 0, scores_BV / penalty, scores_BV * penalty)
    return torch.where(seen_BV, worse_BV, scores_BV)


def generators(prompts: Sequence[Sequence[int]], seed: int) -> list[torch.Generator]:
    """A generator for each prompt, made of the seed, the prompt and how often it came before, and of nothing else: what
    is drawn for a prompt does not depend on those beside it."""
    before: Counter[tuple[int, ...]] = Counter()
    made = []
    for prompt in map(tuple, prompts):
        digest = hashlib.sha256(f"{seed}/{before[prompt]}/{prompt}".encode()).digest()
        made.append(torch.Generator().manual_seed(int.from_bytes(digest[:7], "big")))
        before[prompt] += 1
    return made


def sampled(logits_BV: Tensor, sample: Sample, draws: Sequence[torch.Generator]) -> Tensor:
    """A token for each row (B,), drawn by one number of the row's own generator."""
    z_BV, order_BV = logits_BV.double() / sample.temperature, None
    if sample.top_p is not None:
        z_BV, order_BV = z_BV.sort(dim=-1, descending=True, stable=True)
        z_BV = z_BV[:, : sample.top_k]
    elif sample.top_k is not None:
        z_BV, order_BV = z_BV.topk(min(sample.top_k, z_BV.shape[-1]), dim=-1)
    share_BV = torch.softmax(z_BV, dim=-1)
    if sample.top_p is not None:
        before_BV = share_BV.cumsum(dim=-1) - share_BV
        share_BV = torch.where(before_BV < sample.top_p, share_BV, 0.0)
    upto_BV = share_BV.cumsum(dim=-1)
    drawn_B1 = torch.stack([torch.rand(1, generator=one, dtype=torch.float64) for one in draws]).to(upto_BV.device)
    place_B1 = (upto_BV <= drawn_B1 * upto_BV[:, -1:]).sum(dim=-1, keepdim=True).clamp(max=upto_BV.shape[-1] - 1)
    return place_B1[:, 0] if order_BV is None else order_BV.gather(-1, place_B1)[:, 0]
