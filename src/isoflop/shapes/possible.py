"""Which shapes there can be: a shape that no model can have is refused when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isoflop.errors import UserError
from isoflop.shapes.switches import CHOICES

if TYPE_CHECKING:
    from isoflop.shapes.model_shape import ModelShape

AT_LEAST_ONE = ("layers", "width", "heads", "vocab", "context", "ffn", "experts", "active_experts")


def refuse_the_impossible(shape: ModelShape) -> None:
    """Raise `UserError` where numbers do not divide, a name is unknown, or two switches contradict each other."""
    for name in AT_LEAST_ONE:
        if getattr(shape, name) < 1:
            raise UserError(f"A model's {name} must be at least 1, not {getattr(shape, name)}.")
    for name, choices in CHOICES.items():
        if getattr(shape, name) not in choices:
            raise UserError(f"A model's {name} is one of {', '.join(choices)}, not {getattr(shape, name)!r}.")
    if shape.size_per_head is None and shape.width % shape.heads:
        raise UserError(f"Width {shape.width} is not divisible by {shape.heads} heads: choose heads that divide it.")
    if shape.n_kv_heads < 1 or shape.heads % shape.n_kv_heads:
        raise UserError(f"{shape.heads} heads cannot share {shape.n_kv_heads} key-value heads: choose a divisor.")
    if shape.active_experts > shape.experts:
        raise UserError(f"A token cannot visit {shape.active_experts} of {shape.experts} experts.")
    if not 0 <= shape.dropout < 1:
        raise UserError(f"A model's dropout is a share from 0 to below 1, not {shape.dropout}.")
    if not shape.norm_eps > 0:
        raise UserError(f"A model's norm_eps must be above 0, not {shape.norm_eps}.")
    _refuse_switches(shape)


def _refuse_switches(shape: ModelShape) -> None:
    stretched = shape.rotary_stretch != "none"
    if stretched and shape.positions != "rotary":
        raise UserError(f"Only rotary positions can be stretched by {shape.rotary_stretch}, not {shape.positions}.")
    if stretched != (shape.rotary_factor > 1) or shape.rotary_factor < 1:
        raise UserError(
            f"rotary_factor {shape.rotary_factor:g} does not go with rotary_stretch {shape.rotary_stretch!r}: "
            "a stretch has a factor above 1, and no stretch has factor 1."
        )
    if not shape.rotary_base > 1:
        raise UserError(f"A model's rotary_base must be above 1, not {shape.rotary_base}.")
    if shape.attention == "full" and shape.attention_span is not None:
        raise UserError("Full attention has no attention_span: choose attention window, strided or block, or leave it.")
    if shape.attention != "full" and (shape.attention_span is None or shape.attention_span < 1):
        raise UserError(f"Attention {shape.attention} needs an attention_span of at least 1 token.")
    if shape.stack != "encoder" and (shape.pooler or shape.transform):
        raise UserError(f"pooler and transform belong to an encoder: switch them off for stack {shape.stack!r}.")
    if shape.stack == "encoder_decoder" and shape.segments:
        raise UserError("An encoder-decoder reads no segments: set segments to 0.")
    _refuse_odd_sizes(shape)


def _refuse_odd_sizes(shape: ModelShape) -> None:
    if shape.positions == "rotary" and shape.head_size % 2:
        raise UserError(f"Rotary positions turn pairs: the head size must be even, not {shape.head_size}.")
    if shape.positions == "sinusoidal" and shape.width % 2:
        raise UserError(f"Sinusoidal positions need an even width, not {shape.width}.")
    if shape.rotary_stretch == "ntk" and shape.head_size < 4:  # its exponent is S / (S − 2)
        raise UserError(f"NTK's stretch needs a head size of at least 4, not {shape.head_size}.")
