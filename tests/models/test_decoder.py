"""No token sees a later one, and what a weight starts from depends on its name and the seed alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from isoflop.errors import UserError
from isoflop.models import IGNORED, PARAMETRIZATIONS, Batch, Decoder, build_model, parametrization
from isoflop.shapes import ModelShape

SHAPE = ModelShape(layers=2, width=24, heads=4, kv_heads=2, vocab=50, context=12, ffn=40, norm="plain")


def reading(tokens: torch.Tensor) -> Batch:
    """A batch of which nothing is to be predicted."""
    return Batch(tokens, torch.full_like(tokens, IGNORED))


def test_no_token_sees_a_later_one() -> None:
    model, _ = build_model(SHAPE, parametrization("u-mup"), base=SHAPE, seed=0)
    tokens = torch.randint(50, (1, 12))
    changed = tokens.clone()
    changed[0, 7] = (tokens[0, 7] + 1) % 50
    with torch.no_grad():
        before, after = model(reading(tokens))[0], model(reading(changed))[0]
    assert torch.equal(before[:7], after[:7])
    assert not torch.allclose(before[7:], after[7:])


@pytest.mark.parametrize("name", sorted(PARAMETRIZATIONS))
def test_first_weights_depend_on_seed_and_name_alone(name: str) -> None:
    table = parametrization(name)
    first, _ = build_model(SHAPE, table, base=SHAPE, seed=0)
    deeper, _ = build_model(
        dataclasses.replace(SHAPE, layers=3), table, base=dataclasses.replace(SHAPE, layers=3), seed=0
    )
    other, _ = build_model(SHAPE, table, base=SHAPE, seed=1)
    assert torch.equal(first.embedding.weight, deeper.embedding.weight)
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


def test_a_shape_that_is_not_built_is_refused() -> None:
    with pytest.raises(UserError, match="not built: 4 experts"):
        Decoder(dataclasses.replace(SHAPE, experts=4), logit_scale=1.0)
