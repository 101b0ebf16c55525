"""isoflop, the scaling lab for language models.

Public names are looked up when first used, so that `import isoflop` stays short and never loads torch.
"""

from __future__ import annotations

import importlib
from typing import Any

from isoflop.errors import UserError
from isoflop.version import __version__

_HOMES: dict[str, str] = {
    "Absolute": "isoflop.fitting",
    "Allocation": "isoflop.planning",
    "Asymmetric": "isoflop.fitting",
    "Audit": "isoflop.runs",
    "Estimate": "isoflop.fitting",
    "Fit": "isoflop.fitting",
    "Hardware": "isoflop.planning",
    "Huber": "isoflop.fitting",
    "Law": "isoflop.laws",
    "Layout": "isoflop.planning",
    "ModelShape": "isoflop.shapes",
    "Plan": "isoflop.planning",
    "Run": "isoflop.runs",
    "Runs": "isoflop.runs",
    "Squared": "isoflop.fitting",
    "audit": "isoflop.runs",
    "allocate": "isoflop.planning",
    "design_ladder": "isoflop.planning",
    "backtest": "isoflop.fitting.extrapolation",
    "backtest_curves": "isoflop.fitting.extrapolation",
    "compare": "isoflop.fitting.extrapolation",
    "envelope": "isoflop.fitting.approaches",
    "finetune": "isoflop.adaptation",
    "fit": "isoflop.fitting",
    "from_hugging_face": "isoflop.models",
    "hardware": "isoflop.planning",
    "isoflop": "isoflop.fitting.approaches",
    "layouts": "isoflop.planning",
    "load_classifier": "isoflop.adaptation",
    "load_model": "isoflop.models",
    "load_runs": "isoflop.runs",
    "multiverse": "isoflop.fitting.multiverse",
    "plan": "isoflop.planning",
    "preset": "isoflop.shapes",
    "published_shape": "isoflop.shapes",
    "read_split": "isoflop.adaptation",
    "reproduce": "isoflop.fitting.reproduction",
    "save_model": "isoflop.models",
    "shape_for": "isoflop.planning",
    "study_figure": "isoflop.report",
    "to_hugging_face": "isoflop.models",
    "write_report": "isoflop.report",
    "speedup": "isoflop.fitting.approaches",
}
"""Public name -> the room that has it."""

__all__ = ["UserError", "__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'isoflop' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
