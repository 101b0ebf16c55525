"""A model with its first weights: shape and parametrisation in, module and weight rules out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from isoflop.models.decoder import Decoder
from isoflop.models.encoder import Encoder
from isoflop.models.encoder_decoder import EncoderDecoder
from isoflop.models.folding import WeightRule, weight_rules
from isoflop.models.model import Model
from isoflop.models.parametrization import Parametrization, logit_scale
from isoflop.shapes import ModelShape, Stack

STACKS: Mapping[Stack, Callable[..., Model]] = {
    "decoder": Decoder,
    "encoder": Encoder,
    "encoder_decoder": EncoderDecoder,
}


def build_model(
    shape: ModelShape, table: Parametrization, *, base: ModelShape, seed: int
) -> tuple[Model, dict[str, WeightRule]]:
    """The model of `shape`, initialised under `table`, and the rule of each of its weights by name.

    `base` is the shape at which μP and CompleteP equal SP. Each weight is drawn from a generator of its own, seeded by
    `seed` and the weight's name, so that what one weight starts from depends on no other.
    """
    model = STACKS[shape.stack](shape, logit_scale=logit_scale(shape, table))
    sizes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    rules = weight_rules(sizes, table, shape=shape, base=base)
    for name, parameter in model.named_parameters():
        draw_weight(name, parameter, rule=rules[name], seed=seed)
    return model, rules


def draw_weight(name: str, weight: Tensor, *, rule: WeightRule, seed: int) -> Tensor:
    """Give `weight`, the whole weight called `name`, its first values; returns it."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return nn.init.normal_(weight, rule.init_mean, rule.init_std, generator=generator)
