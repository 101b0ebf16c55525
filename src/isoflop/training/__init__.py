"""Optimisers, schedules, one training loop, checkpoints, pretraining."""

from isoflop.training.loop import Batches, Step, train_steps
from isoflop.training.optimizer import OptimizerConfig, build_optimizer
from isoflop.training.precision import Choice, choose, set_precision
from isoflop.training.schedule import Schedule
from isoflop.training.speed import Speed, measure_speed
from isoflop.training.trunk import Progress, TrunkJob, train_trunk

__all__ = [
    "Batches",
    "Choice",
    "OptimizerConfig",
    "Progress",
    "Schedule",
    "Speed",
    "Step",
    "TrunkJob",
    "build_optimizer",
    "choose",
    "measure_speed",
    "set_precision",
    "train_steps",
    "train_trunk",
]
