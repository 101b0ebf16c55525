"""The norms that a shape can ask for, in torch's own modules."""

from __future__ import annotations

from torch import nn

from isoflop.shapes import ModelShape


def build_norm(shape: ModelShape, size: int) -> nn.Module:
    """The shape's norm over `size` features: RMSNorm with or without gains, or LayerNorm with gains and biases."""
    if shape.norm == "layer":
        return nn.LayerNorm(size, eps=shape.norm_eps)
    return nn.RMSNorm(size, eps=shape.norm_eps, elementwise_affine=shape.norm == "rms")
