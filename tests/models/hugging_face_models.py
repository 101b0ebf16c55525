"""Small models that have left their first weights, and what transformers makes of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.models import Batch, build_model, from_hugging_face, parametrization, to_hugging_face
from isoflop.shapes import ModelShape

TOLERANCE = 1e-4
LENGTHS = (12, 7, 3)
"""Tokens of each sequence; the rest is padding."""


def trained(shape: ModelShape, name: str) -> nn.Module:
    """A model of `shape` under the parametrisation `name`, after steps that move every weight off its start."""
    narrow = dataclasses.replace(shape, width=shape.width // 2, size_per_head=shape.head_size, layers=1)
    model, _ = build_model(shape, parametrization(name), base=narrow, seed=1)
    start = {key: weight.detach().clone() for key, weight in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for step in range(6):
        batch = a_batch(shape, seed=step)
        logits = model(batch)
        loss = F.cross_entropy(logits.flatten(0, 1), batch.inputs.flatten())
        if shape.pooler:
            loss = loss + F.cross_entropy(model.pair_logits(batch), torch.tensor([0, 1, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(not weight.equal(start[key]) for key, weight in model.named_parameters())
    return model.eval()


def a_batch(shape: ModelShape, *, seed: int = 0, padded: bool = True) -> Batch:
    """Three sequences of twelve places, with padding behind the tokens; a source of ten where the model reads one."""
    generator = torch.Generator().manual_seed(seed)

    def some(below: int, length: int = 12) -> Tensor:
        return torch.randint(below, (len(LENGTHS), length), generator=generator)

    mask = (torch.arange(12) < torch.tensor(LENGTHS)[:, None]).long()
    reads = shape.stack == "encoder_decoder"
    return Batch(
        inputs=some(shape.vocab),
        targets=some(shape.vocab),
        documents=mask if padded else None,
        segments=some(shape.segments) if shape.segments else None,
        source=some(shape.vocab, 10) if reads else None,
        source_documents=mask[:, :10] if reads and padded else None,
    )


def their_model(folder: Path, kind: Any) -> nn.Module:
    """What transformers loads from `folder`, after a check that every weight of it was found, and no other."""
    model, loading = kind.from_pretrained(folder, output_loading_info=True)
    assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    return model.eval()


def inputs_of(batch: Batch) -> dict[str, Tensor]:
    """The batch as transformers' arguments."""
    found = {"input_ids": batch.inputs, "attention_mask": batch.documents, "token_type_ids": batch.segments}
    if batch.source is not None:
        found = {
            "input_ids": batch.source,
            "attention_mask": batch.source_documents,
            "decoder_input_ids": batch.inputs,
            "decoder_attention_mask": batch.documents,
        }
    return {key: value for key, value in found.items() if value is not None}


@torch.no_grad()
def assert_same_logits(ours: nn.Module, theirs: nn.Module, shape: ModelShape) -> None:
    """Logits equal to 1e-4 wherever there is a token, with padding and without."""
    for padded in (False, True):
        batch = a_batch(shape, seed=9, padded=padded)
        there = torch.ones_like(batch.inputs) if batch.documents is None else batch.documents
        answer = theirs(**inputs_of(batch))
        mine, other = ours(batch)[there > 0], answer.get("logits", answer.get("prediction_logits"))[there > 0]
        assert mine.std() > 1e-3
        assert (mine - other).abs().max() <= TOLERANCE


def there_and_back(ours: nn.Module, folder: Path) -> nn.Module:
    """The model that is read from an export of `ours`, after a check that its own export has the same bytes."""
    first, second = folder / "first", folder / "second"
    to_hugging_face(ours, first)
    again, _ = from_hugging_face(first)
    to_hugging_face(again, second)
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    return again.eval()
