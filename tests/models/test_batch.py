"""Padding that no sequence of a batch needs is cut off, and nothing else."""

from __future__ import annotations

import torch

from isoflop.models import IGNORED, PADDING, Batch

INPUTS = torch.tensor([[5, 6, 7, 0, 0], [8, 0, 0, 0, 0]])
DOCUMENTS = (INPUTS > 0).long()


def test_what_no_sequence_has_is_cut() -> None:
    batch = Batch(INPUTS, INPUTS.masked_fill(INPUTS == 0, IGNORED), DOCUMENTS, segments=DOCUMENTS)
    cut = batch.trimmed()
    for part in (cut.inputs, cut.targets, cut.documents, cut.segments):
        assert part is not None
        assert part.shape == (2, 3)
    assert cut.documents is not None
    assert cut.documents.tolist() == [[1, 1, 1], [1, PADDING, PADDING]]
    assert cut.targets.tolist() == [[5, 6, 7], [8, IGNORED, IGNORED]]


def test_one_without_padding_says_so() -> None:
    (first, second) = Batch(INPUTS, INPUTS, DOCUMENTS).split(1)
    assert first.trimmed().documents is None
    assert second.trimmed().inputs.tolist() == [[8]]


def test_labels_of_sequences_are_kept_even_where_they_are_as_many_as_tokens() -> None:
    labels = torch.tensor([[0, 1, 0, 1, 1], [1, 1, 0, 0, 0]])
    cut = Batch(INPUTS, labels, DOCUMENTS).trimmed()
    assert cut.inputs.shape == (2, 3)
    assert torch.equal(cut.targets, labels)


def test_what_has_no_padding_at_its_end_stays_as_it_is() -> None:
    full = Batch(INPUTS, INPUTS)
    assert full.trimmed() is full
    packed = Batch(INPUTS, INPUTS, torch.tensor([[1, 1, 2, 2, 3], [1, 2, 2, 2, 2]]))
    assert packed.trimmed().documents is not None
    behind = Batch(INPUTS, INPUTS, DOCUMENTS.flip(1))
    assert behind.trimmed() is behind  # padding before the tokens
    sourced = Batch(INPUTS, INPUTS, DOCUMENTS, source=INPUTS, source_documents=DOCUMENTS)
    assert sourced.trimmed() is sourced
