"""What the engine asks of a method: it changes the pretrained body before training and after, and knows no task."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from isoflop.errors import UserError
from isoflop.models import Model


class Method(Protocol):
    """Abstract: a frozen dataclass with the settings, found by `name`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """What `--method` takes."""
        ...

    @property
    def learning_rate(self) -> float:
        """The usual peak rate."""
        ...

    @property
    def places(self) -> int:
        """Places of the model's context that the method takes for itself."""
        ...

    def prepare(self, body: Model, *, seed: int) -> None:
        """Make `body` ready to be trained: what is not to be trained asks for no gradient afterwards."""
        ...

    def finish(self, body: Model) -> None:
        """Make of the trained body what will be used: an ordinary model, or one with what `adapter` saves beside it."""
        ...


def check_length(length: int) -> None:
    """Raise `UserError` for a prompt of no vectors."""
    if length < 1:
        raise UserError(f"--prompt-length must be at least 1, not {length}.")
