"""Matrix products in 8 bits with scales that are known before training: what unit scaling is for.

A number is cast as x/s, with s a power of two that the parametrisation gives (no loss scaling, nothing measured while
training). Without a GPU that multiplies in 8 bits the casts are simulated: rounded to the format, multiplied in 32.

B rows (tokens), I inputs, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.models.folding import activation_unit_scale, attention_unit_scale, role_of, weight_rule
from isoflop.models.parametrization import Parametrization
from isoflop.shapes import ModelShape

FIRST_FP8_GPU = (8, 9)
"""CUDA compute capability from which on `torch._scaled_mm` exists in 8 bits."""
FP8_MULTIPLE = 16
"""Its operands' sizes are multiples of this."""


@dataclass(frozen=True)
class Precision:
    """Formats of a product's operands: activations and weights in `forward`, gradients of outputs in `backward`."""

    name: str
    forward: torch.dtype
    backward: torch.dtype


BF16 = Precision("bf16", torch.bfloat16, torch.bfloat16)
FP8 = Precision("fp8", torch.float8_e4m3fn, torch.float8_e5m2)
"""E4M3 where precision counts, E5M2 where range does (Micikevicius et al. 2022, arXiv 2209.05433, section 3)."""


@dataclass(frozen=True)
class Scales:
    """What the input, the weight and the output's gradient of one layer are divided by before they are cast."""

    input: float = 1.0
    weight: float = 1.0
    gradient: float = 1.0


def unit_scales(
    sizes: Mapping[str, tuple[int, ...]], table: Parametrization, *, shape: ModelShape, predicted: int
) -> dict[str, Scales]:
    """Scales of each hidden matrix of a pre-norm decoder under u-μP: the sizes that its theory gives at the start.

    `predicted` is the number of tokens that the loss is a mean over. Inputs are normed (size 1) or come from behind a
    non-linearity (1 over its unit scale); weights have their first standard deviation. The logits' gradient is about
    1/(√V·predicted) (arXiv 2407.17465, table 8, cross-entropy), the stream's what comes of it through the head,
    1/(width·predicted), over the stream's own size √(1 + 2α_res²), which the last norm divides by. All are rounded to
    powers of two, so that dividing rounds nothing.
    """
    stream = 1 / (shape.width * predicted * math.sqrt(1 + 2 * table.alphas.residual**2))
    return {
        name: _layer_scales(name, fan_in=size[-1], stream=stream, shape=shape, table=table)
        for name, size in sizes.items()
        if role_of(name) == "hidden"
    }


def _layer_scales(name: str, *, fan_in: int, stream: float, shape: ModelShape, table: Parametrization) -> Scales:
    def std(of: str, inputs: int) -> float:
        weight = f"{name.rsplit('.', 2)[0]}.{of}.weight"
        return weight_rule(weight, shape=shape, base=shape, table=table, fan_in=inputs).init_std

    layer = name.split(".")[-2]
    attends = layer in ("qkv", "out")
    unit = attention_unit_scale(shape, table, causal=True) if attends else activation_unit_scale(shape)
    if layer in ("out", "down"):
        return Scales(_power_of_two(1 / unit), _power_of_two(std(layer, fan_in)), _power_of_two(stream))
    last, inputs = ("out", shape.attention_width) if attends else ("down", shape.ffn)
    behind = stream * std(last, inputs) * math.sqrt(shape.width)  # the gradient behind the non-linearity
    return Scales(1.0, _power_of_two(std(layer, fan_in)), _power_of_two(behind / unit))


def _power_of_two(value: float) -> float:
    return 2.0 ** round(math.log2(value))


def lower_precision(model: nn.Module, precision: Precision, scales: Mapping[str, Scales] | None = None) -> None:
    """Make `model` multiply its hidden matrices in `precision`; a weight that `scales` lacks is cast as it is.

    The weights themselves stay as they are and keep their names.
    """
    for path, module in list(model.named_modules()):
        for child, layer in list(module.named_children()):
            name = f"{path}.{child}.weight".removeprefix(".")
            if isinstance(layer, nn.Linear) and role_of(name) == "hidden":
                setattr(module, child, LowPrecisionLinear(layer, precision, (scales or {}).get(name, Scales())))


class LowPrecisionLinear(nn.Module):
    """A linear layer whose three products (output, gradients of input and of weight) have operands in few bits."""

    def __init__(self, layer: nn.Linear, precision: Precision, scales: Scales) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.precision, self.scales = precision, scales

    def forward(self, x: Tensor) -> Tensor:
        y_BO: Tensor = _Product.apply(x.flatten(0, -2), self.weight, self.precision, self.scales)
        y = y_BO.unflatten(0, x.shape[:-1])
        return y if self.bias is None else y + self.bias


class _Product(torch.autograd.Function):
    """x·Wᵀ with operands cast by their scales, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x_BI: Tensor, weight_OI: Tensor, precision: Precision, scales: Scales) -> Tensor:
        x8_BI = cast(x_BI / scales.input, precision.forward)
        w8_OI = cast(weight_OI / scales.weight, precision.forward)
        ctx.save_for_backward(x8_BI, w8_OI)
        ctx.precision, ctx.scales, ctx.dtype = precision, scales, x_BI.dtype
        return product(x8_BI, w8_OI, scale=scales.input * scales.weight, dtype=x_BI.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x8_BI, w8_OI = ctx.saved_tensors
        scales, dtype = ctx.scales, ctx.dtype
        g8_BO = cast(gradients[0] / scales.gradient, ctx.precision.backward)
        grad_x_BI = product(g8_BO, w8_OI.T, scale=scales.gradient * scales.weight, dtype=dtype)
        grad_w_OI = product(g8_BO.T, x8_BI.T, scale=scales.gradient * scales.input, dtype=dtype)
        return grad_x_BI, grad_w_OI, None, None


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`x` rounded to `dtype`; what lies beyond its largest number becomes that number, as FP8 hardware does."""
    if dtype.itemsize > 1:
        return x.to(dtype)
    most = torch.finfo(dtype).max
    return x.clamp(-most, most).to(dtype)


def product(a_MK: Tensor, b_NK: Tensor, *, scale: float, dtype: torch.dtype) -> Tensor:
    """scale·a·bᵀ (M, N) of two cast matrices: in 8 bits where the device can, else exactly in float32."""
    if multiplies_fp8(a_MK, b_NK):
        return fp8_product(a_MK, b_NK, scale=scale).to(dtype)
    return F.linear(a_MK.float(), b_NK.float()).mul_(scale).to(dtype)


def fp8_product(a_MK: Tensor, b_NK: Tensor, *, scale: float) -> Tensor:
    """scale·a·bᵀ (M, N) in bfloat16, by the processor's own product of 8-bit matrices."""
    one = torch.ones((), device=a_MK.device)
    return torch._scaled_mm(
        a_MK.contiguous(), b_NK.contiguous().T, scale_a=one * scale, scale_b=one, out_dtype=torch.bfloat16
    )


def multiplies_fp8(a_MK: Tensor, b_NK: Tensor) -> bool:
    """Whether this product can run in 8 bits: a GPU that has it, and sizes that it takes."""
    if a_MK.dtype.itemsize > 1 or not a_MK.is_cuda:
        return False
    if torch.cuda.get_device_capability(a_MK.device) < FIRST_FP8_GPU:
        return False
    return all(size % FP8_MULTIPLE == 0 for size in (*a_MK.shape, *b_NK.shape))
