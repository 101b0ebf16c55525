"""Where a token stands: tables that are added to embeddings, rotations of heads, and biases on attention's logits.

B batch, T tokens that look, S tokens that are looked at, D width, H heads, C channels of a head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from isoflop.shapes import ModelShape

BOUNDED = ("rotary", "learned", "sinusoidal")
"""Positions that end where the context ends."""
RELATIVE_REACH = 128
"""Tokens from which on T5 tells no distances apart (Raffel et al. 2020, arXiv 1910.10683, section 2.1)."""
FAST_TURNS, SLOW_TURNS = 32, 1
"""Turns over the original context between which YaRN goes from keeping a frequency to dividing it by the factor
(Peng et al. 2023, arXiv 2309.00071, section 3.2, β and α for Llama)."""


def document_places(documents_BT: Tensor) -> Tensor:
    """Each token's place in its own document, from 0: (B, T). A document starts where the number changes."""
    places_T = torch.arange(documents_BT.shape[1], device=documents_BT.device)
    begins_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    begins_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    return places_T - torch.where(begins_BT, places_T, 0).cummax(dim=1).values


def sinusoidal_table(length: int, width: int) -> Tensor:
    """Sines in even and cosines in odd columns (Vaswani et al. 2017, arXiv 1706.03762, section 3.5): (T, D)."""
    frequency_D = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle_TD = torch.arange(length, dtype=torch.float64)[:, None] * frequency_D
    return torch.stack((angle_TD.sin(), angle_TD.cos()), dim=-1).flatten(1).float()


def rotary_table(shape: ModelShape) -> tuple[Tensor, Tensor]:
    """Cosines and sines (T, C/2) of rotary positions (Su et al. 2021, arXiv 2104.09864, eq. 15), stretched or not.

    NTK raises the base so that the slowest pair turns `rotary_factor` times slower and the fastest as before (Peng et
    al. 2023, arXiv 2309.00071, section 3.1); YaRN divides only the slow frequencies and multiplies queries and keys by
    0.1·ln(factor) + 1 (sections 3.2 to 3.4).

    Angles are rounded to 32 bits, though 64 would be nearer to the equation: checkpoints were trained and are run on
    such angles, and over a thousand tokens the difference shows in their logits.
    """
    base, size, factor = shape.rotary_base, shape.head_size, shape.rotary_factor
    if shape.rotary_stretch == "ntk":
        base *= factor ** (size / (size - 2))
    wave_C = base ** (torch.arange(0, size, 2).float() / size)
    frequency_C, scale = 1 / wave_C, 1.0
    if shape.rotary_stretch == "yarn":
        kept_C = _kept_share(size, base, shape.context / factor)
        frequency_C = 1 / (factor * wave_C) * (1 - kept_C) + frequency_C * kept_C
        scale = 0.1 * math.log(factor) + 1
    angle_TC = torch.arange(shape.context).float()[:, None] * frequency_C
    return scale * angle_TC.cos(), scale * angle_TC.sin()


def _kept_share(size: int, base: float, original_context: float) -> Tensor:
    """YaRN's ramp γ over pairs: 1 where a pair turns fast, 0 where slowly; its ends are whole pairs: (C/2,)."""

    def pair_that_turns(turns: int) -> float:
        return size * math.log(original_context / (turns * 2 * math.pi)) / (2 * math.log(base))

    low = max(math.floor(pair_that_turns(FAST_TURNS)), 0)
    high = min(math.ceil(pair_that_turns(SLOW_TURNS)), size - 1)
    ramp_C = (torch.arange(size // 2).float() - low) / max(high - low, 1e-3)
    return 1 - ramp_C.clamp(0, 1)


def rotate(x_BHTC: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each pair (i, i + C/2) of a head by its position's angle (the half-split layout of Llama checkpoints)."""
    cos_TC, sin_TC = rotation
    left, right = x_BHTC.chunk(2, dim=-1)
    return torch.cat((left * cos_TC - right * sin_TC, left * sin_TC + right * cos_TC), dim=-1)


def relative_buckets(distance_TS: Tensor, *, buckets: int, both_sides: bool) -> Tensor:
    """T5's bucket of each distance j − i: half for each side, near ones alone, far ones by their logarithm (T, S)."""
    offset_TS = torch.zeros_like(distance_TS)
    if both_sides:
        buckets //= 2
        offset_TS = (distance_TS > 0) * buckets
        away_TS = distance_TS.abs()
    else:
        away_TS = (-distance_TS).clamp(min=0)
    alone = buckets // 2
    # In 32 bits, as T5 was trained: a distance on a border of two buckets must fall to the same side.
    growth_TS = torch.log(away_TS.clamp(min=1).float() / alone) / math.log(RELATIVE_REACH / alone)
    far_TS = (alone + (growth_TS * (buckets - alone)).long()).clamp(max=buckets - 1)
    return offset_TS + torch.where(away_TS < alone, away_TS, far_TS)


def alibi_slopes(heads: int) -> Tensor:
    """2^(−8h/H) for heads 1 … H; where H is no power of two, the next lower power's and every second of its double's
    (Press et al. 2022, arXiv 2108.12409, section 3 and its code): (H,)."""
    whole = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / whole) for i in range(whole)]
    between = [2 ** (-4 * (2 * i + 1) / whole) for i in range(heads - whole)]
    return torch.tensor(slopes + between)
