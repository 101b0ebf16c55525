"""Shapes that no model can have are refused in one sentence that says what to change."""

from __future__ import annotations

import pytest

from isoflop.errors import UserError
from isoflop.shapes import ModelShape


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": 100, "heads": 3}, "not divisible"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"kv_heads": 2}, "cannot share 2"),
        ({"kv_heads": 0}, "cannot share 0"),
        ({"experts": 2, "active_experts": 3}, "cannot visit"),
        ({"norm": "batch"}, "norm is one of rms, layer, plain, not 'batch'"),
        ({"positions": "absolute"}, "positions is one of rotary, learned"),
        ({"dropout": 1.0}, "dropout is a share"),
        ({"norm_eps": 0.0}, "norm_eps must be above 0"),
        ({"rotary_stretch": "yarn", "rotary_factor": 2.0, "positions": "alibi"}, "Only rotary positions"),
        ({"rotary_stretch": "yarn"}, "a stretch has a factor above 1"),
        ({"rotary_factor": 2.0}, "no stretch has factor 1"),
        ({"rotary_base": 1.0}, "rotary_base must be above 1"),
        ({"attention": "window"}, "needs an attention_span"),
        ({"attention_span": 4}, "Full attention has no attention_span"),
        ({"pooler": True}, "belong to an encoder"),
        ({"transform": True, "stack": "encoder_decoder"}, "belong to an encoder"),
        ({"segments": 2, "stack": "encoder_decoder"}, "reads no segments"),
        ({"size_per_head": 5}, "head size must be even"),
        ({"width": 99, "positions": "sinusoidal"}, "even width"),
        ({"size_per_head": 2, "rotary_stretch": "ntk", "rotary_factor": 2.0}, "head size of at least 4"),
    ],
)
def test_impossible_shapes_are_refused(changes, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        ModelShape(**({"layers": 2, "width": 96, "heads": 3, "vocab": 10, "context": 8, "ffn": 400} | changes))
