"""Whatever a shape asks for is built, with as many weights as it counts, and trains from finite numbers."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from isoflop.errors import UserError
from isoflop.models import IGNORED, PARAMETRIZATIONS, Batch, Encoder, Model, build_model, parametrization
from isoflop.models.build import STACKS
from isoflop.shapes import ModelShape, count_params

SMALL = ModelShape(layers=2, width=24, heads=4, kv_heads=2, vocab=50, context=12, ffn=40)
CHANGES = {
    "norm": ("rms", "layer", "plain"),
    "biases": ("none", "qkv", "all"),
    "positions": ("rotary", "learned", "sinusoidal", "relative", "alibi", "none"),
    "qk_norm": (False, True),
    "tied": (False, True),
    "feed_forward": ("gelu", "gelu_tanh", "relu", "relu2", "swiglu", "geglu"),
    "kv_heads": (1, 2, 4),
    "size_per_head": (None, 8),
    "norm_place": ("pre", "post"),
}
ENCODER = {"segments": (0, 3), "pooler": (False, True), "transform": (False, True)}


def shapes() -> Iterator[ModelShape]:
    """Every pair of two switches, on each stack."""
    for stack in ("decoder", "encoder", "encoder_decoder"):
        switches = CHANGES | (ENCODER if stack == "encoder" else {})
        for one, other in itertools.combinations(switches, 2):
            for first, second in itertools.product(switches[one], switches[other]):
                yield dataclasses.replace(SMALL, stack=stack, **{one: first, other: second})  # type: ignore[arg-type]


def built(shape: ModelShape, name: str = "sp", seed: int = 0) -> Model:
    return build_model(shape, parametrization(name), base=shape, seed=seed)[0]


def batch_for(shape: ModelShape, rows: int = 2, length: int = 10, seed: int = 0) -> Batch:
    """Random tokens of which every second is to be predicted."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(shape.vocab, (rows, length), generator=generator)
    targets = torch.where(torch.arange(length) % 2 == 0, tokens.roll(1, 1), IGNORED)
    source = torch.randint(shape.vocab, (rows, length + 2), generator=generator)
    return Batch(tokens, targets, source=source if shape.stack == "encoder_decoder" else None)


def test_every_pair_of_switches_has_the_weights_that_its_shape_counts() -> None:
    tried = set(shapes())
    assert len(tried) > 300
    with torch.device("meta"):
        for shape in tried:
            model = STACKS[shape.stack](shape, logit_scale=1.0)
            assert sum(weight.numel() for weight in model.parameters()) == count_params(shape).total, shape


@pytest.mark.parametrize("name", sorted(PARAMETRIZATIONS))
@pytest.mark.parametrize("stack", ["decoder", "encoder", "encoder_decoder"])
def test_every_weight_of_every_stack_has_a_rule_and_a_finite_gradient(stack: str, name: str) -> None:
    encodes = stack == "encoder"
    shape = dataclasses.replace(
        SMALL, stack=stack, positions="learned", biases="all", norm="layer", qk_norm=True, pooler=encodes,
        transform=encodes, segments=2 if stack != "encoder_decoder" else 0, feed_forward="gelu",
    )  # fmt: skip
    model, rules = build_model(shape, parametrization(name), base=shape, seed=0)
    assert set(rules) == {weight for weight, _ in model.named_parameters()}
    batch = batch_for(shape)
    loss = F.cross_entropy(model(batch).flatten(0, 1), batch.targets.flatten())
    if isinstance(model, Encoder):
        loss = loss + F.cross_entropy(model.pair_logits(batch), torch.tensor([0, 1]))
    loss.backward()
    for weight_name, weight in model.named_parameters():
        assert weight.grad is not None, weight_name
        assert weight.grad.isfinite().all(), weight_name


def test_gains_start_at_one_and_biases_at_zero() -> None:
    model = built(dataclasses.replace(SMALL, norm="layer", biases="all", qk_norm=True))
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            assert (weight == 0).all(), name
        elif name.split(".")[-2].endswith("norm"):
            assert (weight == 1).all(), name


def test_one_pass_gives_both_of_what_an_encoder_predicts() -> None:
    shape = dataclasses.replace(SMALL, stack="encoder", pooler=True, transform=True)
    model, batch = built(shape), batch_for(shape)
    assert isinstance(model, Encoder)
    features, pair = model.features_and_pair_logits(batch)
    assert torch.equal(features, model.features(batch))
    assert torch.equal(pair, model.pair_logits(batch))
    assert torch.equal(model.head(features), model(batch))


@pytest.mark.parametrize(
    ("stack", "changes", "sentence"),
    [
        ("encoder", {"prefix": torch.tensor([1, 2])}, "in an encoder all tokens see each other"),
        ("encoder", {"source": torch.zeros(2, 3, dtype=torch.long)}, "train an encoder_decoder"),
        ("decoder", {"source": torch.zeros(2, 3, dtype=torch.long)}, "train an encoder_decoder"),
        ("encoder_decoder", {"source": None}, "needs a batch with a source"),
        ("decoder", {"segments": torch.zeros(2, 10, dtype=torch.long)}, "no table of them"),
    ],
)
def test_a_batch_that_does_not_fit_the_model_is_refused(stack: str, changes, sentence: str) -> None:
    shape = dataclasses.replace(SMALL, stack=stack)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=sentence):
        built(shape)(batch_for(shape)._replace(**changes))


def test_a_sequence_beyond_the_context_is_refused_where_positions_end_there() -> None:
    for positions in ("rotary", "learned", "sinusoidal"):
        shape = dataclasses.replace(SMALL, positions=positions)  # type: ignore[arg-type]
        with pytest.raises(UserError, match="13 tokens a sequence, but the model's context is 12"):
            built(shape)(batch_for(shape, length=13))
    for positions in ("relative", "alibi", "none"):
        shape = dataclasses.replace(SMALL, positions=positions)  # type: ignore[arg-type]
        assert built(shape)(batch_for(shape, length=13)).isfinite().all()


def test_a_model_without_a_pooler_has_no_labels_of_pairs() -> None:
    shape = dataclasses.replace(SMALL, stack="encoder")
    model = built(shape)
    assert isinstance(model, Encoder)
    with pytest.raises(UserError, match="set pooler in the shape"):
        model.pair_logits(batch_for(shape))
