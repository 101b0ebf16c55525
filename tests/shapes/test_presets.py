"""A preset is a published shape, with what is asked for changed."""

from __future__ import annotations

import pytest

from isoflop.errors import UserError
from isoflop.shapes import preset, published_shape, published_shapes
from isoflop.shapes.presets import FAMILIES


def test_every_published_model_and_family_is_one() -> None:
    for name in published_shapes():
        assert preset(name) == published_shape(name)
    for family, member in FAMILIES.items():
        assert preset(family.upper()) == published_shape(member)


def test_switches_change_it() -> None:
    shape = preset("gpt2", context=256, dropout=0.0)
    assert (shape.context, shape.dropout, shape.width) == (256, 0.0, 768)


def test_what_is_not_known_is_refused_with_its_neighbours() -> None:
    with pytest.raises(UserError, match="bert-large"):
        preset("bert-larg")
    with pytest.raises(UserError, match="dropout"):
        preset("gpt2", drop_out=0.1)
    with pytest.raises(UserError, match="divisible"):
        preset("gpt2", heads=7)
