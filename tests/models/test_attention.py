"""Attention's gradients are those of finite differences, and rows that see nothing neither give nor take anything."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.autograd import gradcheck

from isoflop.models import IGNORED, Batch
from isoflop.models.attention import attend
from isoflop.models.blocks import activation
from isoflop.models.build import STACKS
from isoflop.models.masks import View, cross_view, self_view
from isoflop.models.positions import rotary_table, rotate
from isoflop.shapes import ModelShape
from models.reference import visible
from models.transformers_weights import randomised

SMALL = ModelShape(layers=1, width=8, heads=2, vocab=11, context=9, ffn=12)
DOCUMENTS = torch.tensor([[1, 1, 1, 1, 2, 2, 2, 0, 0], [3, 3, 3, 3, 3, 3, 3, 3, 3]])
PATTERNS = [("full", None), ("window", 2), ("window", 4), ("strided", 3), ("block", 4), ("window", 20)]


@pytest.mark.parametrize(("attention", "span"), PATTERNS)
@pytest.mark.parametrize(("causal", "prefix"), [(False, None), (True, None), (True, torch.tensor([3, 0]))])
@pytest.mark.parametrize("documents", [None, DOCUMENTS])
def test_a_view_shows_what_the_rule_of_each_pair_says(attention, span, causal: bool, prefix, documents) -> None:
    shape = dataclasses.replace(SMALL, attention=attention, attention_span=span)
    view = self_view(shape, DOCUMENTS, causal=causal, documents=documents, prefix=prefix)
    for row in range(2):
        for i in range(9):
            expected = [
                visible(
                    shape, i, j, causal=causal, documents=None if documents is None else documents[row].tolist(),
                    prefix=None if prefix is None else prefix[row].item(),
                )
                for j in range(9)
            ]  # fmt: skip
            assert shown(view, row, i) == expected


def shown(view: View, row: int, i: int) -> list[bool]:
    if view.scores is None:
        return [j <= i or not view.causal for j in range(9)]
    if view.blind is not None and view.blind[row % len(view.blind), 0, i, 0]:
        return [False] * 9
    return (view.scores[row % len(view.scores), 0, i] == 0).tolist()


@pytest.mark.parametrize("positions", ["alibi", "relative"])
@pytest.mark.parametrize(("attention", "span"), [("full", None), ("strided", 3)])
@pytest.mark.parametrize(("documents", "prefix"), [(None, None), (DOCUMENTS, torch.tensor([3, 0]))])
def test_some_tokens_see_the_sequence_as_they_do_among_all(positions, attention, span, documents, prefix) -> None:
    shape = dataclasses.replace(SMALL, positions=positions, attention=attention, attention_span=span)
    model, place_1S = randomised(STACKS["decoder"](shape, logit_scale=1.0)), torch.arange(9)[None]
    whole = model.view(torch.empty(2, 9, 8), documents, prefix)
    some = model.view_between(place_1S[:, 3:6], place_1S, documents, prefix)
    assert some.scores.equal(whole.scores[:, :, 3:6])
    assert documents is None or some.blind.equal(whole.blind[:, :, 3:6])


def test_the_plain_cases_have_no_mask_at_all() -> None:
    assert self_view(SMALL, DOCUMENTS, causal=True) == View(causal=True)
    wide = dataclasses.replace(SMALL, attention="window", attention_span=9)
    assert self_view(wide, DOCUMENTS, causal=False) == View(causal=False)
    assert cross_view(None, None) == View(causal=False)


@pytest.mark.parametrize(("attention", "span"), [("full", None), ("window", 2), ("strided", 3), ("block", 4)])
def test_gradients_of_attention_are_finite_differences(attention: str, span: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v, table = (
        torch.randn(size, generator=generator, dtype=torch.float64, requires_grad=True)
        for size in ((2, 2, 9, 4), (2, 1, 9, 4), (2, 1, 9, 4), (1, 2, 9, 9))
    )
    shape = dataclasses.replace(SMALL, attention=attention, attention_span=span)
    view = self_view(shape, DOCUMENTS, causal=True, documents=DOCUMENTS, prefix=torch.tensor([3, 0]))

    def with_bias(q, k, v, table):  # type: ignore[no-untyped-def]
        return attend(q, k, v, view=view._replace(scores=table + view.scores), scale=0.7)

    assert gradcheck(with_bias, (q, k, v, table))


def test_gradients_of_a_rotation_and_of_every_activation_are_finite_differences() -> None:
    x = torch.randn((1, 2, 9, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    rotation = tuple(part.double() for part in rotary_table(SMALL))
    assert gradcheck(lambda x: rotate(x, rotation), (x,))
    for kind in ("gelu", "gelu_tanh", "relu", "relu2", "swiglu", "geglu"):
        assert gradcheck(lambda x, kind=kind: activation(kind, x), (x,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_rows_that_see_nothing_give_zeros_and_take_no_gradient(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn((2, 2, 9, 4), generator=generator).to(dtype).requires_grad_() for _ in range(3))
    padding, others = DOCUMENTS == 0, DOCUMENTS != 1
    for view, blind in (
        (self_view(SMALL, DOCUMENTS, causal=True, documents=DOCUMENTS), padding),
        (cross_view(DOCUMENTS, DOCUMENTS.clamp(max=1)), others),  # nothing of documents 2 and 3 in the source
        (cross_view(DOCUMENTS, None), padding),
    ):
        y = attend(q, k, v, view=view, scale=0.5)
        assert y.isfinite().all()
        assert (y.transpose(1, 2)[blind] == 0).all()
        assert (y.transpose(1, 2)[~blind] != 0).any(dim=-1).all()
        grads = torch.autograd.grad(y.float().pow(2).sum(), (q, k, v))
        assert all(grad.isfinite().all() for grad in grads)
        assert (grads[0].transpose(1, 2)[blind] == 0).all()


@pytest.mark.parametrize("stack", ["decoder", "encoder", "encoder_decoder"])
def test_gradients_of_a_whole_stack_are_finite_differences(stack: str) -> None:
    """Along one direction through all weights, in float64, with padding, two documents and relative positions."""
    shape = dataclasses.replace(
        SMALL, stack=stack, positions="relative", norm="layer", biases="all", qk_norm=True, feed_forward="gelu"
    )
    model = randomised(STACKS[stack](shape, logit_scale=0.5)).double()
    tokens = torch.randint(11, DOCUMENTS.shape, generator=torch.Generator().manual_seed(1))
    batch = Batch(tokens, torch.where(DOCUMENTS > 0, tokens, IGNORED), documents=DOCUMENTS)
    if stack == "encoder_decoder":
        batch = batch._replace(source=tokens.flip(1), source_documents=DOCUMENTS)

    def loss() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model(batch).flatten(0, 1), batch.targets.flatten())

    weights = list(model.parameters())
    along = [torch.randn(w.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64) for w in weights]
    grads = torch.autograd.grad(loss(), weights)
    expected = sum((g * a).sum() for g, a in zip(grads, along, strict=True)).item()
    step, values = 1e-6, []
    with torch.no_grad():
        for sign in (1, -2):
            torch._foreach_add_(weights, along, alpha=sign * step)
            values.append(loss().item())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(expected, rel=1e-6)


def test_dropout_is_off_in_evaluation_and_follows_the_seed_in_training() -> None:
    for stack in ("decoder", "encoder", "encoder_decoder"):
        shape = dataclasses.replace(SMALL, stack=stack, dropout=0.3)
        tokens = torch.randint(11, (2, 9), generator=torch.Generator().manual_seed(1))
        batch = Batch(tokens, tokens, source=tokens if stack == "encoder_decoder" else None)
        model = randomised(STACKS[stack](shape, logit_scale=0.5))
        plain = STACKS[stack](dataclasses.replace(shape, dropout=0.0), logit_scale=0.5)
        plain.load_state_dict(model.state_dict())
        assert torch.equal(model(batch), plain(batch))
        model.train()
        outputs = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            outputs.append(model(batch))
        assert torch.equal(outputs[0], outputs[1])
        assert not torch.allclose(outputs[0], outputs[2])


def test_dropout_keeps_the_mean_of_what_a_block_adds() -> None:
    shape = dataclasses.replace(SMALL, width=64, heads=2, dropout=0.25, ffn=64)
    block = STACKS["decoder"](shape, logit_scale=0.5).train().blocks[0]
    ones = torch.ones(64, 9, 64)
    torch.manual_seed(0)
    dropped = block._drop(ones)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.02)
