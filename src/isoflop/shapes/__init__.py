"""A model's size as integers. Knows no torch and no law."""

from isoflop.shapes.counting import ParamCounts, count_params, matmul_params, train_flops_per_token
from isoflop.shapes.model_shape import ModelShape
from isoflop.shapes.presets import preset
from isoflop.shapes.published import published_shape, published_shapes
from isoflop.shapes.switches import FeedForward, Stack

__all__ = [
    "FeedForward",
    "ModelShape",
    "ParamCounts",
    "Stack",
    "count_params",
    "matmul_params",
    "preset",
    "published_shape",
    "published_shapes",
    "train_flops_per_token",
]
