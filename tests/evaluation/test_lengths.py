"""Every text once, like lengths together, and no batch larger than what was allowed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from isoflop.evaluation.lengths import alike


@given(st.lists(st.integers(1, 300)), st.integers(1, 500), st.none() | st.integers(1, 5))
def test_every_text_is_in_one_batch_that_fits(lengths: list[int], tokens: int, texts: int | None) -> None:
    batches = list(alike(lengths, tokens, texts))
    assert sorted(at for batch in batches for at in batch) == list(range(len(lengths)))
    assert [lengths[at] for batch in batches for at in batch] == sorted(lengths)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[at] for at in batch) <= tokens
        assert texts is None or len(batch) <= texts


def test_as_few_batches_as_can_be() -> None:
    assert list(alike([3, 1, 2, 9, 2], 8)) == [[1, 2, 4], [0], [3]]
    assert list(alike([1] * 5, 100, 2)) == [[0, 1], [2, 3], [4]]
    assert list(alike([], 8)) == []
