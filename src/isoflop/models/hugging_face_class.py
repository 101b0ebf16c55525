"""What is known of a stock class of transformers: the shapes that it computes, its weights' names, its config.json."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from isoflop.errors import UserError
from isoflop.models.hugging_face_rows import Factors, Row
from isoflop.shapes import ModelShape

Config = Mapping[str, Any]
"""A parsed config.json."""


@dataclass(frozen=True)
class StockClass:
    """One class. `wants` says, for each switch of a shape that the class does not leave open, the values it can have.

    `head_power` p: the class scales attention logits by head_size**-p. `config` writes the class's own fields and
    `shape` reads them, with the weights' names at hand for what config.json does not say; it raises `UserError`, one
    sentence, for a feature that no shape here has. `prefix` is what the names of the class without its head lack.
    """

    name: str
    model_type: str
    objective: str
    wants: Mapping[str, Collection[object]]
    rows: Callable[[ModelShape], Sequence[Row]]
    config: Callable[[ModelShape], dict[str, Any]]
    shape: Callable[[Config, Mapping[str, Tensor]], ModelShape]
    head_power: float = 0.5
    prefix: str = ""
    stream: Callable[[Config], float] = lambda _: 1.0
    """By what the class multiplies before its head."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """Names under which a checkpoint may hold a weight a second time, and its first name."""
    leaves: str | None = None
    """What reading leaves out, as the beginning of its names."""
    limit: Callable[[ModelShape], str | None] = lambda _: None
    """What else keeps a shape out, in words."""

    def factors(self, shape: ModelShape, logit_scale: float, config: Config) -> Factors:
        """What export multiplies by, for a model of ours whose attention logits are scaled by `logit_scale`."""
        return Factors(query=logit_scale * shape.head_size**self.head_power, stream=1 / self.stream(config))

    def obstacles(self, shape: ModelShape) -> list[str]:
        """What keeps `shape` out of this class, in words; nothing where the class computes it."""
        found = [
            f"{name} {getattr(shape, name)!r} (it has {' or '.join(map(repr, values))})"
            for name, values in self.wants.items()
            if getattr(shape, name) not in values
        ]
        other = self.limit(shape)
        return [*found, other] if other else found


def choose(shape: ModelShape, classes: Sequence[StockClass]) -> StockClass:
    """The first class that computes what `shape` computes. Raises `UserError` with what prevents the nearest one."""
    obstacles = {one.name: one.obstacles(shape) for one in classes if shape.stack in one.wants["stack"]}
    name = min(obstacles, key=lambda one: len(obstacles[one]))
    if obstacles[name]:
        raise UserError(
            f"No stock class of Hugging Face computes this model: {name} comes nearest, "
            f"but not with {' and '.join(obstacles[name])}."
        )
    return next(one for one in classes if one.name == name)


def read(config: Config, name: str, default: Any = None) -> Any:
    """A field of config.json that has to be there. Raises `UserError` where it is not and there is no default."""
    value = config.get(name)
    if value is None and default is None:
        raise UserError(f"The checkpoint's config.json has no {name}: it is damaged, or of another kind of model.")
    return default if value is None else value


def refuse_unless(config: Config, **allowed: Collection[object]) -> None:
    """Raise `UserError` for the first field of config.json that is there with none of the values allowed for it."""
    for name, values in allowed.items():
        value = config.get(name)
        if value is not None and value not in values:
            raise UserError(f"The checkpoint's config.json has {name} {value!r}, which no model here computes.")
