"""One row per weight: our name, their names, and what is done to the numbers on the way, in either direction.

A row says everything that differs between a model here and the same model in a stock class of transformers, and both
export and import read it, so neither can forget what the other does.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from isoflop.errors import UserError
from isoflop.shapes import ModelShape

Fold = Literal["query", "stream"]
"""What a row takes over: the difference in the scale of attention logits, or of what goes into the head."""
Absent = Literal["ones", "zeros"]


@dataclass(frozen=True)
class Row:
    """One weight. `#` in a name stands for the layer's number.

    Several names of theirs are the parts of ours, stacked along its first axis: two halves, or the query followed by
    key and value. `transposed`: theirs is (in, out). `fold` names the factor that theirs has over ours. `absent` is
    what theirs is where our model has no such weight (a gain of ones, a bias of zeros); None: theirs has none either.
    """

    ours: str
    theirs: tuple[str, ...]
    transposed: bool = False
    fold: Fold | None = None
    absent: Absent | None = None

    def in_layer(self, layer: int) -> Row:
        """The row with its layer's number in every name."""
        theirs = tuple(name.replace("#", str(layer)) for name in self.theirs)
        return Row(self.ours.replace("#", str(layer)), theirs, self.transposed, self.fold, self.absent)


def row(ours: str, *theirs: str, fold: Fold | None = None, absent: Absent | None = None) -> Row:
    """A row whose matrices lie as ours do."""
    return Row(ours, theirs, False, fold, absent)


@dataclass(frozen=True)
class Factors:
    """What the folds of a model are: factors of theirs over ours."""

    query: float = 1.0
    stream: float = 1.0

    def of(self, fold: Fold | None) -> float:
        return 1.0 if fold is None else self.query if fold == "query" else self.stream


def every_row(rows: Sequence[Row], layers: int) -> Iterator[Row]:
    """The rows with those of a layer once for each of `layers`."""
    for one in rows:
        yield from (one.in_layer(layer) for layer in range(layers)) if "#" in one.ours else (one,)


def to_theirs(
    weights: Mapping[str, Tensor], rows: Sequence[Row], *, shape: ModelShape, factors: Factors
) -> dict[str, Tensor]:
    """Our float32 `weights` under their names. Raises `UserError` for a weight of ours that no row takes along."""
    left, found = set(weights), dict[str, Tensor]()
    for one in every_row(rows, shape.layers):
        left.discard(one.ours)
        weight = weights.get(one.ours)
        if weight is None and not one.absent:
            continue
        if weight is None:
            weight = _absent(one, weights, shape)
        weight = _scaled(weight, factors.of(one.fold), one, shape)
        if one.transposed:
            weight = weight.T
        for name, part in zip(one.theirs, _parts(weight, len(one.theirs), shape), strict=True):
            found[name] = part.clone(memory_format=torch.contiguous_format)
    if left:
        raise UserError(f"No stock class of Hugging Face has a place for the weight {min(left)}.")
    return found


def to_ours(
    weights: Mapping[str, Tensor], rows: Sequence[Row], *, shape: ModelShape, factors: Factors, wanted: Container[str]
) -> dict[str, Tensor]:
    """Their `weights` under our names, in float32; what no row names is left out (`unread` tells it).

    A weight that our model does not have (is not `wanted`) may be left out where it says nothing, as a bias of zeros.
    """
    found = dict[str, Tensor]()
    for one in every_row(rows, shape.layers):
        if not all(name in weights for name in one.theirs):
            continue
        weight = torch.cat([weights[name].float() for name in one.theirs])
        if one.absent and one.ours not in wanted and weight.eq(one.absent == "ones").all():
            continue
        if one.transposed:
            weight = weight.T
        found[one.ours] = _scaled(weight, 1 / factors.of(one.fold), one, shape).contiguous()
    return found


def unread(weights: Mapping[str, Tensor], rows: Sequence[Row], *, shape: ModelShape) -> list[str]:
    """The names among `weights` that no row reads."""
    read = {name for one in every_row(rows, shape.layers) for name in one.theirs}
    return sorted(weights.keys() - read)


def _scaled(weight: Tensor, factor: float, one: Row, shape: ModelShape) -> Tensor:
    """`weight`, of which the query's part (or all, where the row is the query's alone) is multiplied by `factor`."""
    if factor == 1.0:
        return weight
    scaled = weight.double()
    end = shape.attention_width if one.fold == "query" else len(scaled)
    scaled[:end] *= factor
    return scaled.float()


def _parts(weight: Tensor, count: int, shape: ModelShape) -> Sequence[Tensor]:
    if count == 3:
        return weight.split((shape.attention_width, shape.kv_width, shape.kv_width))
    return weight.chunk(count)


def _absent(one: Row, weights: Mapping[str, Tensor], shape: ModelShape) -> Tensor:
    """What theirs is in place of a weight that our model lacks: gains of ones; biases or a table of zeros."""
    name = one.ours.rsplit(".", 2)[-2]
    if one.absent == "ones":
        return torch.ones(shape.head_size if name in ("q_norm", "k_norm") else shape.width)
    if name == "head":
        return torch.zeros(shape.vocab)
    if name.endswith("_table"):
        return torch.zeros(shape.context if name == "position_table" else 1, shape.width)
    return torch.zeros(len(weights[one.ours.removesuffix("bias") + "weight"]))
