"""A model with its first weights: shape and parametrisation in, module and weight rules out."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from isoflop.models.decoder import Decoder
from isoflop.models.folding import WeightRule, logit_scale, weight_rules
from isoflop.models.parametrization import Parametrization
from isoflop.shapes import ModelShape


def build_model(
    shape: ModelShape, table: Parametrization, *, base: ModelShape, seed: int
) -> tuple[Decoder, dict[str, WeightRule]]:
    """A decoder initialised under `table`, and the rule of each of its weights by name.

    `base` is the shape at which μP and CompleteP equal SP. Each weight is drawn from a generator of its own, seeded by
    `seed` and the weight's name, so that what one weight starts from depends on no other.
    """
    model = Decoder(shape, logit_scale=logit_scale(shape, table))
    sizes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    rules = weight_rules(sizes, table, shape=shape, base=base)
    for name, parameter in model.named_parameters():
        rule = rules[name]
        nn.init.normal_(parameter, rule.init_mean, rule.init_std, generator=_generator(seed, name))
    return model, rules


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
