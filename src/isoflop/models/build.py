"""A model with its first weights: shape and parametrisation in, module and weight rules out."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from isoflop.models.decoder import Decoder
from isoflop.models.parametrization import Parametrization, WeightRule, logit_scale, weight_rule
from isoflop.shapes import ModelShape


def build_model(
    shape: ModelShape, table: Parametrization, *, base: ModelShape, seed: int
) -> tuple[Decoder, dict[str, WeightRule]]:
    """A decoder initialised under `table`, and the rule of each of its weights by name.

    `base` is the shape at which μP and CompleteP equal SP. Each weight is drawn from a generator of its own, seeded by
    `seed` and the weight's name, so that what one weight starts from depends on no other.
    """
    model = Decoder(shape, logit_scale=logit_scale(shape, table))
    rules = {
        name: weight_rule(name, shape=shape, base=base, table=table, fan_in=parameter.shape[-1])
        for name, parameter in model.named_parameters()
    }
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, std=rules[name].init_std, generator=_generator(seed, name))
    return model, rules


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
