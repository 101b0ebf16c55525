"""Shapes from a size: near the size, divisible as hardware likes, and by the stated rule."""

from __future__ import annotations

import numpy as np
import pytest

from isoflop.errors import UserError
from isoflop.planning.sizing import aspect_ratio, counted, shape_for

SIZES = [3e6, 5e7, 1.35e8, 1e9, 7e9, 7e10, 4.05e11, 1e13]


@pytest.mark.parametrize("params", SIZES)
@pytest.mark.parametrize("convention", ["total", "body", "matmul"])
def test_a_shape_has_the_parameters_asked_for(params: float, convention) -> None:
    shape = shape_for(params, convention=convention)
    assert counted(shape, convention) == pytest.approx(params, rel=0.05)


@pytest.mark.parametrize("params", SIZES)
def test_a_shape_divides_as_hardware_likes(params: float) -> None:
    shape = shape_for(params)
    assert shape.head_size in (32, 64, 128)
    assert shape.attention_width == shape.width
    if shape.width >= 512:
        assert shape.width % 128 == shape.ffn % 128 == 0
    if shape.width >= 2048:
        assert shape.heads % 8 == shape.ffn % 8 == shape.layers % 2 == 0
    assert 8 / 3 <= shape.ffn / shape.width + 1e-9 <= 3.5 + 128 / shape.width


def test_the_rule_gives_the_depths_of_published_models() -> None:
    assert aspect_ratio(125e6) == 64
    assert aspect_ratio(70e9) == 128
    llama = shape_for(6.74e9, vocab=32000, context=4096)
    assert (llama.layers, llama.width, llama.heads) == (32, 4096, 32)


def test_a_vocabulary_too_large_for_the_model_is_refused() -> None:
    with pytest.raises(UserError, match="smaller vocabulary"):
        shape_for(1e6, vocab=128256)


@pytest.mark.parametrize("exponent", range(50, 121))
def test_no_size_is_out_of_reach(exponent: int) -> None:
    params = 10 ** (exponent / 10)
    assert counted(shape_for(params)) == pytest.approx(params, rel=0.07)


def test_sizes_between_two_wide_widths_have_shapes() -> None:
    for params in np.geomspace(2.0e9, 3.0e9, 30):
        assert counted(shape_for(float(params))) == pytest.approx(params, rel=0.02)
