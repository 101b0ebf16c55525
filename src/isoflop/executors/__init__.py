"""Where pieces of work run: this machine, a Ray cluster, SLURM. Knows nothing of what the work is."""

from isoflop.executors.lease import FOREVER, Held, alone, hold
from isoflop.executors.local import LocalExecutor, cores
from isoflop.executors.mirror import Mirror
from isoflop.executors.place import Store, is_url
from isoflop.executors.ray import RayExecutor
from isoflop.executors.slurm import SlurmExecutor
from isoflop.executors.task import Executor, Resources, Task, TaskEvent, perform

__all__ = [
    "FOREVER",
    "Executor",
    "Held",
    "LocalExecutor",
    "Mirror",
    "RayExecutor",
    "Resources",
    "SlurmExecutor",
    "Store",
    "Task",
    "TaskEvent",
    "alone",
    "cores",
    "hold",
    "is_url",
    "perform",
]
