"""From a planned ladder to the trunks that workers train, and how long they will take."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from pathlib import Path

from isoflop.data import TokenData
from isoflop.planning import Ladder, Rung
from isoflop.runs.run import Role
from isoflop.shapes import ModelShape
from isoflop.study.config import StudyConfig
from isoflop.training import OptimizerConfig, Schedule, Speed, TrunkJob

SEED_STRIDE = 1000
"""Replicate r of study seed S trains with seed S + r * SEED_STRIDE; the first replicate of every size shares S, so that
sizes differ in nothing but size."""
HORIZON_POWER = -0.3
"""The best rate falls with the token budget as a power (Bjorck et al. 2024, arXiv 2409.19913); the power is ours, from
the default corpus (docs/log.md). A rate is therefore quoted at the sweep's budget and moved to each trunk's."""
EVALUATION_COST = 1 / 3
"""A token of validation costs a forward pass: a third of a training token."""


class JobMaker:
    """Makes trunks of one study: holds what they all share."""

    def __init__(self, config: StudyConfig, ladder: Ladder, data: TokenData, out: Path, speed: Speed) -> None:
        self.config, self.ladder, self.data, self.out, self.speed = config, ladder, data, out, speed

    def sweep(self, rate: float) -> TrunkJob:
        """The smallest size at one learning rate, for a short run."""
        return self._job(self.ladder.sweep, "tune", f"tune-W{self.ladder.sweep.shape.width}-lr{rate:g}", rate, 0)

    def rungs(self, rate: float) -> list[TrunkJob]:
        """Every size and replicate, costliest first, so that the cores finish together."""
        jobs = [
            self._job(rung, "rung", f"W{rung.shape.width}-s{r}", rate, r)
            for rung in self.ladder.rungs
            for r in range(rung.replicates)
        ]
        return sorted(jobs, key=lambda job: -job.total_steps * job.shape.width)

    def targets(self, rate: float) -> list[TrunkJob]:
        """Every replicate of the target."""
        target = self.ladder.target
        return [
            self._job(target, "target", f"target-W{target.shape.width}-s{r}", rate, r) for r in range(target.replicates)
        ]

    def _job(self, rung: Rung, role: Role, name: str, rate: float, replicate: int) -> TrunkJob:
        train = self.config.train
        horizon = math.prod(rung.steps) ** (1 / len(rung.steps)) / self.ladder.sweep.steps[0]
        moved = rate * horizon**HORIZON_POWER
        return TrunkJob(
            trunk=name,
            role=role,
            shape=rung.shape,
            base=self.ladder.sweep.shape,
            milestones=rung.steps,
            batch=self.ladder.batch,
            parametrization=self.config.model.parametrization,
            optimizer=OptimizerConfig(lr=moved, weight_decay=train.weight_decay, clip=train.clip),
            schedule=Schedule(self._warmup_steps(), self.ladder.cooldown_fraction),
            seed=self.config.seed + replicate * SEED_STRIDE,
            valid_sequences=train.valid_sequences,
            data=str(self.data.folder),
            out=str(self.out / "runs"),
            peak_flops=self.speed.peak_flops,
            device=self.config.device,
            threads=self.config.machines.cpus,
        )

    def _warmup_steps(self) -> int:
        """The same for every run: a warm-up that grows with the run would hold the larger ones back."""
        shortest = min(min(rung.steps) for rung in (*self.ladder.rungs, self.ladder.target))
        return round(self.config.train.warmup_share * shortest)

    def seconds(self, job: TrunkJob) -> float:
        """Expected seconds of `job` on one core, evaluations included."""
        training = job.total_steps * job.batch_tokens
        evaluating = len(job.milestones) * job.valid_sequences * job.shape.context * EVALUATION_COST
        return (training + evaluating) * self.speed.seconds_per_token(job.shape)

    def phase_seconds(self, slots: int) -> dict[str, float]:
        """Expected wall time of sweep, rungs and target, which come one after the other."""
        rate = self.config.ladder.rates[0]
        phases = {
            "learning rate": [self.sweep(one) for one in self.ladder.rates],
            "ladder": self.rungs(rate),
            "target": self.targets(rate),
        }
        return {name: makespan([self.seconds(job) for job in jobs], slots) for name, jobs in phases.items()}


def makespan(seconds: Sequence[float], slots: int) -> float:
    """When the last of the jobs ends if each starts, in order, as soon as one of `slots` is free."""
    ends = [0.0] * slots
    for one in seconds:
        heapq.heappush(ends, heapq.heappop(ends) + one)
    return max(ends)


def calibration_shapes(config: StudyConfig, vocab: int) -> tuple[ModelShape, ModelShape]:
    """Two shapes of the family, small and large, whose speed stands for the others'."""
    family = config.family(vocab)
    return family.at(6 * family.step), family.at(16 * family.step)
