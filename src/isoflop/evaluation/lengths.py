"""Texts of like length side by side, few enough that a model's states of them fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def alike(lengths: Sequence[int], tokens: int, texts: int | None = None) -> Iterator[list[int]]:
    """Numbers of all texts, the shortest first, in batches of at most `tokens` with their padding (or one text), and of
    at most so many `texts`."""
    batch: list[int] = []
    for at in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and ((len(batch) + 1) * lengths[at] > tokens or len(batch) == texts):
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch
