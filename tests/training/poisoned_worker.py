"""One of several processes that train together on poisoned batches: `poisoned_worker.py TEXT OUT`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from isoflop.parallel import processes
from isoflop.training import pretrain_divided, pretraining
from training.poison import poisoned
from training.test_spikes import SPIKE, plan_for

if __name__ == "__main__":
    pretraining.BatchesKept = poisoned(SPIKE, set())  # type: ignore[misc]
    plan = dataclasses.replace(plan_for("roll_back", Path(sys.argv[1])), machine={"mesh": {"shard": 2}})
    with processes(timeout_seconds=90):
        list(pretrain_divided(plan, Path(sys.argv[2])))
