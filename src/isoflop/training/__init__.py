"""Optimisers, schedules, one training loop, checkpoints, pretraining."""

from isoflop.training.loop import Batches, Step, train_steps
from isoflop.training.methods import SGD, AdamW, Muon, Rates
from isoflop.training.optimizer import OptimizerConfig, build_optimizer
from isoflop.training.schedule import Schedule
from isoflop.training.schedules import SCHEDULES, RunSchedule
from isoflop.training.speed import Speed, measure_speed
from isoflop.training.trunk import Progress, TrunkJob, train_trunk

__all__ = [
    "SCHEDULES",
    "SGD",
    "AdamW",
    "Batches",
    "Muon",
    "OptimizerConfig",
    "Progress",
    "Rates",
    "RunSchedule",
    "Schedule",
    "Speed",
    "Step",
    "TrunkJob",
    "build_optimizer",
    "measure_speed",
    "train_steps",
    "train_trunk",
]
