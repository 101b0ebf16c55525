"""Eight bits are enough where everything has size one, and the simulation multiplies what the hardware would."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.evaluation import batch_loss
from isoflop.models import Batch, build_model, parametrization
from isoflop.models import low_precision as module
from isoflop.models.folding import WeightRule
from isoflop.models.low_precision import (
    BF16,
    FP8,
    LowPrecisionLinear,
    Precision,
    Scales,
    cast,
    fp8_product,
    lower_precision,
    multiplies_fp8,
    product,
    unit_scales,
)
from isoflop.models.model import Model
from isoflop.shapes import ModelShape

SHAPE = ModelShape(layers=3, width=64, heads=4, vocab=128, context=64, ffn=168, norm="plain")
EXACT = Precision("exact", torch.float32, torch.float32)


def lowered(
    precision: Precision, shape: ModelShape = SHAPE, *, predicted: int = 512
) -> tuple[Model, dict[str, WeightRule]]:
    table = parametrization("u-mup")
    model, rules = build_model(shape, table, base=shape, seed=0)
    sizes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    lower_precision(model, precision, unit_scales(sizes, table, shape=shape, predicted=predicted))
    return model, rules


def some_batch(rows: int = 8) -> Batch:
    tokens = torch.randint(SHAPE.vocab, (rows, SHAPE.context + 1), generator=torch.Generator().manual_seed(0))
    return Batch(tokens[:, :-1], tokens[:, 1:])


def test_with_exact_operands_nothing_changes_but_rounding() -> None:
    plain, _ = build_model(SHAPE, parametrization("u-mup"), base=SHAPE, seed=0)
    model, _ = lowered(EXACT)
    for one in (plain, model):
        batch_loss(one, some_batch()).backward()
    assert dict(plain.named_parameters()).keys() == dict(model.named_parameters()).keys()
    for name, weight in plain.named_parameters():
        assert torch.allclose(weight.grad, model.get_parameter(name).grad, rtol=1e-4, atol=1e-9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "shape", [SHAPE, dataclasses.replace(SHAPE, feed_forward="gelu", width=128, ffn=512, layers=6)]
)
@pytest.mark.parametrize("rows", [2, 16])
def test_everything_that_is_cast_begins_near_size_one(
    shape: ModelShape, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Activations, weights and gradients alike, whatever the width, depth and batch: no loss scaling is needed."""
    sizes: dict[torch.dtype, list[float]] = {FP8.forward: [], FP8.backward: []}

    def noted(x: Tensor, dtype: torch.dtype) -> Tensor:
        sizes[dtype].append(x.pow(2).mean().sqrt().item())
        return cast(x, dtype)

    monkeypatch.setattr(module, "cast", noted)
    model, _ = lowered(FP8, shape, predicted=rows * shape.context)
    batch_loss(model, some_batch(rows)).backward()
    assert len(sizes[FP8.forward]) == 2 * len(sizes[FP8.backward]) == 8 * shape.layers
    assert min(sizes[FP8.forward]) > 0.5
    assert max(sizes[FP8.forward]) < 8
    assert min(sizes[FP8.backward]) > 0.125
    assert max(sizes[FP8.backward]) < 8


def test_without_scales_most_gradients_of_a_mean_loss_become_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros: dict[str, list[float]] = {"sp": [], "u-mup": []}
    for name, found in zeros.items():
        model, _ = build_model(SHAPE, parametrization(name), base=SHAPE, seed=0)
        lower_precision(model, FP8)
        if name == "u-mup":
            model, _ = lowered(FP8, predicted=64 * SHAPE.context)

        def noted(x: Tensor, dtype: torch.dtype, found: list[float] = found) -> Tensor:
            rounded = cast(x, dtype)
            if dtype == FP8.backward:
                found.append((rounded.float() == 0).double().mean().item())
            return rounded

        monkeypatch.setattr(module, "cast", noted)
        batch_loss(model, some_batch(64)).backward()
    assert max(zeros["sp"]) > 0.5
    assert max(zeros["u-mup"]) < 0.01


def test_gradients_in_eight_bits_point_where_the_exact_ones_do() -> None:
    exact, _ = lowered(EXACT)
    model, _ = lowered(FP8)
    for one in (exact, model):
        batch_loss(one, some_batch()).backward()
    for name, weight in exact.named_parameters():
        other = model.get_parameter(name).grad
        assert F.cosine_similarity(weight.grad.flatten(), other.flatten(), dim=0) > 0.97  # type: ignore[union-attr]


def test_only_hidden_matrices_are_lowered_and_biases_stay() -> None:
    shape = dataclasses.replace(SHAPE, biases="all", norm="layer", positions="learned")
    model, _ = build_model(shape, parametrization("sp"), base=shape, seed=0)
    names = [name for name, _ in model.named_parameters()]
    lower_precision(model, BF16)
    assert [name for name, _ in model.named_parameters()] == names
    assert isinstance(model.head, nn.Linear)
    assert sum(isinstance(one, LowPrecisionLinear) for one in model.modules()) == 4 * shape.layers
    layer = LowPrecisionLinear(nn.Linear(4, 3), EXACT, Scales(0.5, 0.25, 2.0))
    x = torch.randn(2, 5, 4)
    assert torch.allclose(layer(x), F.linear(x, layer.weight, layer.bias), atol=1e-6)


def test_a_cast_saturates_instead_of_overflowing() -> None:
    x = torch.tensor([1e9, -1e9, 0.3])
    assert cast(x, torch.float8_e4m3fn).float().tolist() == [448.0, -448.0, 0.3125]
    assert cast(x, torch.float8_e5m2).float().tolist() == [57344.0, -57344.0, 0.3125]


@pytest.mark.parametrize("left", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_the_processors_own_product_is_the_simulated_one(left: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, 32, generator=draw) for size in (48, 16))
    a8, b8 = cast(a, left), cast(b, torch.float8_e4m3fn)
    try:
        found = fp8_product(a8, b8, scale=0.5)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        pytest.skip(f"this processor has no product of 8-bit matrices ({error})")
    expected = product(a8, b8, scale=0.5, dtype=torch.float32)
    assert not multiplies_fp8(a8, b8), "on a processor the default is the exact simulation"
    assert torch.allclose(found.float(), expected, rtol=2**-7, atol=2**-7)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_that_multiplies_in_eight_bits_the_loss_is_the_simulated_one() -> None:
    if torch.cuda.get_device_capability() < module.FIRST_FP8_GPU:
        pytest.skip("this GPU does not multiply in 8 bits")
    model, _ = lowered(FP8)
    simulated = batch_loss(model, some_batch()).item()
    real = batch_loss(model.cuda(), some_batch().to("cuda")).item()
    assert real == pytest.approx(simulated, rel=2e-3)
