"""Optimisers, schedules, one training loop, checkpoints, pretraining."""

from isoflop.training.course import Measured, Prepared
from isoflop.training.divided import pretrain_divided
from isoflop.training.fusion import train_fused
from isoflop.training.layout import layout_of
from isoflop.training.loop import Batches, Step, train_steps
from isoflop.training.methods import SGD, AdamW, Muon, Rates
from isoflop.training.optimizer import OptimizerConfig, build_optimizer
from isoflop.training.plan import Plan, read_plan
from isoflop.training.precision import Choice, choose, set_precision
from isoflop.training.pretraining import pretrain
from isoflop.training.schedule import Schedule
from isoflop.training.schedules import SCHEDULES, RunSchedule
from isoflop.training.speed import Speed, measure_speed
from isoflop.training.spikes import BadStep
from isoflop.training.trunk import Progress, TrunkJob, train_trunk
from isoflop.training.watchdog import Watchdog, record_flights

__all__ = [
    "SCHEDULES",
    "SGD",
    "AdamW",
    "BadStep",
    "Batches",
    "Choice",
    "Measured",
    "Muon",
    "OptimizerConfig",
    "Plan",
    "Prepared",
    "Progress",
    "Rates",
    "RunSchedule",
    "Schedule",
    "Speed",
    "Step",
    "TrunkJob",
    "Watchdog",
    "build_optimizer",
    "choose",
    "layout_of",
    "measure_speed",
    "pretrain",
    "pretrain_divided",
    "read_plan",
    "record_flights",
    "set_precision",
    "train_fused",
    "train_steps",
    "train_trunk",
]
