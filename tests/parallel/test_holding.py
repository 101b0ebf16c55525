"""The boxes of all ranks together are the whole weight, once; and a rank's part is whole heads and halves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from isoflop.parallel.holding import Division, Holding


def part_of(whole: torch.Tensor, division: Division, rank: int, degree: int) -> torch.Tensor:
    size = list(whole.shape)
    size[division.dim] = sum(run.length for run in division.runs(rank, degree))
    holding = Holding("w", nn.Parameter(torch.full(size, torch.nan)), whole.shape, division, rank, degree)
    holding.fill(whole)
    return holding.part.detach()


@given(pieces=st.lists(st.integers(1, 9), min_size=1, max_size=4), degree=st.integers(1, 4), dim=st.integers(0, 1))
def test_the_parts_of_all_ranks_hold_every_number_once(pieces: list[int], degree: int, dim: int) -> None:
    size = [5, 5]
    size[dim] = sum(pieces)
    whole = torch.arange(size[0] * size[1], dtype=torch.float32).view(*size)
    division = Division(dim, tuple(pieces))
    numbers = torch.cat([part_of(whole, division, rank, degree).flatten() for rank in range(degree)])
    assert sorted(numbers.tolist()) == whole.flatten().tolist()


def test_a_part_of_query_key_and_value_has_its_heads_of_each() -> None:
    query, key, value = torch.arange(8), torch.arange(100, 104), torch.arange(200, 204)
    whole = torch.cat((query, key, value)).float()[:, None]
    part = part_of(whole, Division(0, (8, 4, 4)), 1, 2)
    assert part.flatten().tolist() == [4, 5, 6, 7, 102, 103, 202, 203]


def test_what_a_wrong_division_would_hold_is_noticed() -> None:
    with pytest.raises(RuntimeError):
        part_of(torch.ones(7, 2), Division(0, (8,)), 1, 2)
