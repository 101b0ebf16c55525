"""How a run computes follows from its shape, length and machine; a model set so keeps its names and its loss."""

from __future__ import annotations

import pytest
import torch

from isoflop.data.batches import shifted
from isoflop.evaluation import batch_loss, validation_loss
from isoflop.models import build_model, parametrization
from isoflop.shapes import ModelShape
from isoflop.training import Choice, choose, set_precision
from isoflop.training import precision as module

TINY = ModelShape(layers=2, width=16, heads=2, vocab=300, context=16, ffn=32, norm="plain")
SMALL = ModelShape(layers=6, width=256, heads=4, vocab=4096, context=256, ffn=683, norm="plain")


@pytest.fixture(autouse=True)
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has everything."""
    monkeypatch.setattr(module, "multiplies_in_bf16", lambda kind: kind in ("cpu", "cuda"))
    monkeypatch.setattr(module, "has_compiler", lambda: True)


def test_a_tiny_model_stays_exact_however_long_it_trains() -> None:
    assert choose(TINY, 10**12, batch=16) == Choice("fp32", False, choose(TINY, 1, batch=16).why)


def test_a_short_run_is_not_compiled_and_a_long_one_is() -> None:
    short, long = choose(SMALL, 100, batch=16), choose(SMALL, 10_000, batch=16)
    assert (short.dtype, short.compiled) == ("bf16", False)
    assert (long.dtype, long.compiled) == ("bf16", True)
    assert "too few for compiling" in str(short)
    assert str(long).startswith("bf16, compiled: ")


def test_what_the_machine_lacks_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "multiplies_in_bf16", lambda _: False)
    monkeypatch.setattr(module, "has_compiler", lambda: False)
    choice = choose(SMALL, 10_000, batch=16)
    assert (choice.dtype, choice.compiled) == ("fp32", False)
    assert "no C++ compiler" in choice.why


def test_an_accelerator_needs_more_work_before_compiling_pays() -> None:
    assert not choose(SMALL, 10_000, batch=16, device="cuda:0").compiled
    assert choose(SMALL, 10_000_000, batch=16, device="cuda:0").compiled


def test_a_model_in_bf16_has_the_same_names_and_nearly_the_same_loss() -> None:
    model, _ = build_model(TINY, parametrization("u-mup"), base=TINY, seed=0)
    names = list(model.state_dict())
    batch = shifted(torch.randint(300, (4, 17), generator=torch.Generator().manual_seed(0)))
    exact, validated = batch_loss(model, batch).item(), validation_loss(model, batch).nats
    set_precision(model, Choice("bf16"))
    low = batch_loss(model, batch)
    low.backward()
    assert list(model.state_dict()) == names
    assert all(weight.dtype == weight.grad.dtype == torch.float32 for weight in model.parameters())  # type: ignore[union-attr]
    assert low.item() != exact
    assert low.item() == pytest.approx(exact, rel=1e-3)
    assert validation_loss(model, batch).nats == pytest.approx(validated, rel=1e-3)
    set_precision(model, Choice("fp32"))
    assert batch_loss(model, batch).item() == exact


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.skipif(not module.has_compiler(), reason="no C++ compiler")
def test_compiled_blocks_share_one_compilation_and_change_nothing_but_rounding() -> None:
    model, _ = build_model(TINY, parametrization("u-mup"), base=TINY, seed=0)
    batch = shifted(torch.randint(300, (4, 17), generator=torch.Generator().manual_seed(0)))
    plain, validated = batch_loss(model, batch), validation_loss(model, batch)
    plain.backward()
    slopes = [weight.grad for weight in model.parameters()]
    model.zero_grad()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    set_precision(model, Choice("fp32", compiled=True))
    found = batch_loss(model, batch)
    found.backward()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert found.item() == pytest.approx(plain.item(), rel=1e-6)
    for weight, slope in zip(model.parameters(), slopes, strict=True):
        torch.testing.assert_close(weight.grad, slope, rtol=1e-4, atol=1e-6)
    assert validation_loss(model, batch) == validated
