"""When a step of a training is bad, and what is done about it: stop, skip its batch, or go back and skip the window.

Going back some steps and leaving out the batches since is what PaLM's training did at its loss spikes (Chowdhery et
al. 2022, arXiv 2204.02311, section 5.1): the same weights on other data, or the same data on other weights, did well.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from isoflop.models import Batch
from isoflop.training.loop import Batches

OnBadStep = Literal["stop", "skip", "roll_back"]
Fault = Literal["not finite", "spike", "divergence"]

DIVERGED_NATS = 1.0
"""A smoothed loss this far above its best is divergence: the run's final loss would say nothing of its size."""
SMOOTHING = 0.95
SPIKE_DEVIATIONS = 6.0
"""A loss so many of its recent standard deviations above the smoothed loss is a spike,"""
SPIKE_LEAST_NATS = 0.1
"""but not below this: on text that is nearly known, the deviation goes to zero."""
KNOWN_AFTER = 20
"""Steps that the deviation is estimated from before it is believed: one time constant of the smoothing."""
MOST_SKIPS_TOGETHER = 10
"""So many bad batches one after another are no fault of the data: the run stops."""
MOST_ROLL_BACKS = 5
MOST_STEPS_BACK = 100
"""How far a roll-back goes at most; a short run goes back a twentieth of its steps at most."""


class LossTrend:
    """The smoothed training loss, its best, and the variance of single losses around it, over `steps` steps."""

    def __init__(self) -> None:
        self.steps, self.variance = 0, 0.0
        self.smooth = self.best = math.inf

    def take(self, loss: float) -> None:
        """Take in the loss of a step that was made."""
        before = self.smooth if self.steps else loss
        self.variance = SMOOTHING * self.variance + (1 - SMOOTHING) * (loss - before) ** 2
        self.smooth = SMOOTHING * before + (1 - SMOOTHING) * loss if self.steps else loss
        self.best = min(self.best, self.smooth)
        self.steps += 1

    def is_spike(self, loss: float) -> bool:
        """Whether `loss`, not taken in yet, lies far above what came before."""
        above = max(SPIKE_LEAST_NATS, SPIKE_DEVIATIONS * math.sqrt(self.variance))
        return self.steps >= KNOWN_AFTER and loss > self.smooth + above

    @property
    def has_diverged(self) -> bool:
        return self.smooth > self.best + DIVERGED_NATS

    def state(self) -> list[float]:
        """As plain numbers."""
        return [self.steps, self.variance, self.smooth, self.best]

    def load(self, state: list[float]) -> None:
        """Go back to `state`."""
        steps, self.variance, self.smooth, self.best = state
        self.steps = int(steps)


def sentence(fault: Fault, step: int) -> str:
    """What went wrong at `step`."""
    return {
        "not finite": f"the training loss or its gradient was not finite at step {step}",
        "spike": f"the training loss jumped by more than {SPIKE_DEVIATIONS:g} of its deviations at step {step}",
        "divergence": f"the training loss rose by more than {DIVERGED_NATS} nat per token at step {step}",
    }[fault]


@dataclass(frozen=True)
class BadStep:
    """A bad step and what was done: the batches from `first` up to but without `end` are left out for good.

    `back_to` is the step from which training went on; `done` is `stop` where it did not.
    """

    step: int
    kind: Fault
    done: OnBadStep
    back_to: int
    first: int
    end: int


class BadSteps:
    """What a run does about bad steps, those it has met, and the batches that it left out.

    It counts batches as the loader does; with none left out, step n trains on batch n. Unlike all else, it is never
    rolled back.
    """

    def __init__(self, policy: OnBadStep, *, steps: int) -> None:
        self.policy = policy
        self.every = max(1, min(MOST_STEPS_BACK, steps // 20))
        """Every so many steps, `roll_back` keeps a state to go back to."""
        self.met: list[BadStep] = []
        self.skipped: list[tuple[int, int]] = []

    def meet(self, kind: Fault, step: int, *, good: int) -> BadStep:
        """Decide on a bad `step`, where `good` is the step of the last good state, and note it."""
        done = "stop" if self._is_hopeless(kind, step) else self.policy
        back_to = good if done == "roll_back" else step
        first, end = self.batch_of(back_to), self.batch_of(step) + 1
        event = BadStep(step, kind, done, back_to, first, first if done == "stop" else end)
        self.met.append(event)
        if done != "stop":
            outside = [one for one in self.skipped if one[1] <= first or one[0] >= end]
            self.skipped = sorted([*outside, (first, end)])
        return event

    def _is_hopeless(self, kind: Fault, step: int) -> bool:
        if self.policy == "roll_back":
            return sum(one.done == "roll_back" for one in self.met) >= MOST_ROLL_BACKS
        together = self.met[-MOST_SKIPS_TOGETHER:]
        many = len(together) == MOST_SKIPS_TOGETHER and all(one.step == step for one in together)
        return kind == "divergence" or many  # weights that have diverged are not mended by other data

    def batch_of(self, step: int) -> int:
        """The batch on which `step` trains."""
        batch = step
        for first, end in self.skipped:
            if batch >= first:
                batch += end - first
        return batch

    def state(self) -> dict[str, Any]:
        """As plain values."""
        return {"met": [asdict(one) for one in self.met], "skipped": [list(one) for one in self.skipped]}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.met = [BadStep(**one) for one in state["met"]]
        self.skipped = [(first, end) for first, end in state["skipped"]]


@dataclass(frozen=True)
class BatchesKept:
    """The batches of a loader without those that were left out."""

    batches: Batches
    bad_steps: BadSteps

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        return self.batches.at(self.bad_steps.batch_of(step))
