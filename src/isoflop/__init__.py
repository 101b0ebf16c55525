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
    "Beams": "isoflop.generation",
    "Decoding": "isoflop.generation",
    "Estimate": "isoflop.fitting",
    "Files": "isoflop.adaptation",
    "Fit": "isoflop.fitting",
    "Greedy": "isoflop.generation",
    "Hardware": "isoflop.planning",
    "Huber": "isoflop.fitting",
    "Law": "isoflop.laws",
    "Layout": "isoflop.planning",
    "Machine": "isoflop.adaptation",
    "ModelShape": "isoflop.shapes",
    "Plan": "isoflop.planning",
    "Prompt": "isoflop.adaptation.few_labels",
    "Recipe": "isoflop.adaptation",
    "Result": "isoflop.adaptation",
    "Run": "isoflop.runs",
    "Runs": "isoflop.runs",
    "Sample": "isoflop.generation",
    "Squared": "isoflop.fitting",
    "VectorIndex": "isoflop.adaptation.retrieval",
    "WordIndex": "isoflop.adaptation.retrieval",
    "allocate": "isoflop.planning",
    "audit": "isoflop.runs",
    "backtest": "isoflop.fitting.extrapolation",
    "backtest_curves": "isoflop.fitting.extrapolation",
    "best_hits": "isoflop.adaptation.retrieval",
    "bootstrap_interval": "isoflop.evaluation.intervals",
    "compare": "isoflop.fitting.extrapolation",
    "design_ladder": "isoflop.planning",
    "envelope": "isoflop.fitting.approaches",
    "evaluate_task": "isoflop.adaptation",
    "evaluate_text": "isoflop.evaluation.evaluate_text",
    "finetune": "isoflop.adaptation",
    "finetune_repeatedly": "isoflop.adaptation",
    "fit": "isoflop.fitting",
    "from_hugging_face": "isoflop.models",
    "hardware": "isoflop.planning",
    "isoflop": "isoflop.fitting.approaches",
    "layouts": "isoflop.planning",
    "load_adapted": "isoflop.adaptation",
    "load_classifier": "isoflop.adaptation",
    "load_model": "isoflop.models",
    "load_runs": "isoflop.runs",
    "method_named": "isoflop.adaptation",
    "multiverse": "isoflop.fitting.multiverse",
    "paired_test": "isoflop.evaluation.intervals",
    "plan": "isoflop.planning",
    "plan_repeats": "isoflop.adaptation",
    "preset": "isoflop.shapes",
    "prompt": "isoflop.adaptation.few_labels",
    "published_shape": "isoflop.shapes",
    "read_causal": "isoflop.adaptation.few_labels",
    "read_documents": "isoflop.adaptation.retrieval",
    "read_embedder": "isoflop.adaptation.retrieval",
    "read_generator": "isoflop.generation",
    "read_split": "isoflop.adaptation",
    "read_texts": "isoflop.evaluation.texts",
    "reproduce": "isoflop.fitting.reproduction",
    "save_model": "isoflop.models",
    "shape_for": "isoflop.planning",
    "speedup": "isoflop.fitting.approaches",
    "study_figure": "isoflop.report",
    "task_named": "isoflop.adaptation",
    "template_of": "isoflop.adaptation.few_labels",
    "to_hugging_face": "isoflop.models",
    "verbalizer_of": "isoflop.adaptation.few_labels",
    "write_report": "isoflop.report",
}
"""Public name -> the room that has it."""

__all__ = ["UserError", "__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'isoflop' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
