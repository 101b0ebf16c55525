"""All of the pretrained model is trained, or none of it."""

from __future__ import annotations

from dataclasses import dataclass

from isoflop.models import Model


@dataclass(frozen=True)
class Full:
    """Every weight that the answers depend on."""

    name = "full"
    learning_rate = 2e-5
    places = 0

    def prepare(self, body: Model, *, seed: int) -> None:
        """Nothing to do: every weight is trained."""

    def finish(self, body: Model) -> None:
        """Nothing to do: it is an ordinary model."""


@dataclass(frozen=True)
class HeadOnly:
    """What the task adds; the pretrained model stays as it is."""

    name = "head"
    learning_rate = 1e-3
    places = 0

    def prepare(self, body: Model, *, seed: int) -> None:
        """Train nothing of `body`."""
        del seed
        body.requires_grad_(False)

    def finish(self, body: Model) -> None:
        """Nothing to do: it is the model that it was."""
