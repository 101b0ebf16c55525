"""Tables, stretched rotations, buckets and slopes are the papers', held against the formulas and `transformers`."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.t5.modeling_t5 import T5Attention

from isoflop.models.positions import (
    alibi_slopes,
    document_places,
    relative_buckets,
    rotary_table,
    sinusoidal_table,
)
from isoflop.shapes import ModelShape
from models.reference import bucket, place_of, sinusoid

CONTEXT = 8192


def shape(**changes: object) -> ModelShape:
    return ModelShape(1, 256, 4, vocab=8, context=CONTEXT, ffn=8, **changes)  # type: ignore[arg-type]


def frequencies_and_scale(one: ModelShape) -> tuple[torch.Tensor, float]:
    """Read off the table: the angle of the first step, and the length of the pair (cos, sin)."""
    cos_TC, sin_TC = (part.double() for part in rotary_table(one))
    return torch.atan2(sin_TC[1], cos_TC[1]), (cos_TC[1] ** 2 + sin_TC[1] ** 2).sqrt().mean().item()


def theirs(kind: str, *, base: float, factor: float, seq_len: int | None = None) -> tuple[torch.Tensor, float]:
    parameters = {"rope_type": kind, "rope_theta": base, "factor": factor}
    if kind == "yarn":
        parameters["original_max_position_embeddings"] = int(CONTEXT / factor)
    config = LlamaConfig(
        hidden_size=256, num_attention_heads=4, max_position_embeddings=CONTEXT, rope_parameters=parameters
    )
    frequency, scale = ROPE_INIT_FUNCTIONS[kind](config, "cpu", seq_len)
    return frequency.double(), scale


@pytest.mark.parametrize("factor", [2.0, 4.0, 16.0])
@pytest.mark.parametrize("base", [10_000.0, 500_000.0])
def test_yarn_is_that_of_transformers(base: float, factor: float) -> None:
    found, scale = frequencies_and_scale(shape(rotary_base=base, rotary_stretch="yarn", rotary_factor=factor))
    expected, expected_scale = theirs("yarn", base=base, factor=factor)
    assert torch.allclose(found, expected, rtol=2e-6, atol=0)
    assert scale == pytest.approx(expected_scale, rel=1e-6)
    assert expected[-1] < 1.01 * base ** (-62 / 64) / factor  # the slowest pair is stretched by the whole factor


@pytest.mark.parametrize("factor", [2.0, 4.0, 16.0])
def test_ntk_is_that_of_transformers_where_its_dynamic_factor_equals_ours(factor: float) -> None:
    found, scale = frequencies_and_scale(shape(rotary_stretch="ntk", rotary_factor=factor))
    # Its factor at length s is factor·s/context − (factor − 1): ours at s = context·(2 − 1/factor).
    expected, _ = theirs("dynamic", base=10_000.0, factor=factor, seq_len=int(CONTEXT * (2 - 1 / factor)))
    assert torch.allclose(found, expected, rtol=2e-6, atol=0)
    assert scale == pytest.approx(1.0, rel=1e-6)
    plain, _ = frequencies_and_scale(shape())
    assert found[0].item() == pytest.approx(plain[0].item(), rel=1e-6)
    assert found[-1].item() == pytest.approx(plain[-1].item() / factor, rel=1e-6)


@pytest.mark.parametrize("both_sides", [False, True])
def test_buckets_are_t5s(both_sides: bool) -> None:
    distance = torch.arange(-300, 300)
    found = relative_buckets(distance, buckets=32, both_sides=both_sides)
    expected = T5Attention._relative_position_bucket(distance, both_sides, 32, 128)
    assert torch.equal(found, expected)
    assert found.unique().numel() == (31 if both_sides else 32)  # 0 and -0 are one distance
    assert [bucket(d, both_sides=both_sides) for d in range(-60, 60)] == found[240:360].tolist()


def test_sines_and_cosines_by_turns() -> None:
    table = sinusoidal_table(50, 12)
    assert torch.allclose(table.double(), torch.stack([sinusoid(i, 12) for i in range(50)]), atol=1e-6)


def test_slopes_are_those_that_the_paper_names() -> None:
    assert torch.allclose(alibi_slopes(8), torch.tensor([0.5**i for i in range(1, 9)]))
    assert alibi_slopes(16)[:2].tolist() == pytest.approx([math.sqrt(0.5), 0.5])
    assert alibi_slopes(12).tolist() == pytest.approx(
        [0.5**i for i in range(1, 9)] + [0.5**i for i in (0.5, 1.5, 2.5, 3.5)]
    )


def test_places_restart_with_each_document() -> None:
    documents = torch.tensor([[0, 0, 1, 1, 1, 2, 3, 3], [5, 5, 5, 5, 1, 1, 0, 0]])
    expected = [[place_of(i, row) for i in range(8)] for row in documents.tolist()]
    assert document_places(documents).tolist() == expected
    assert expected[0] == [0, 1, 0, 1, 2, 0, 0, 1]
