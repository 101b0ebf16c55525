"""Which file holds which verb. A verb's file imports its room inside the function, so that `--help` stays quick."""

from __future__ import annotations

import importlib

import typer

VERBS: tuple[str, ...] = (
    "study_verb",
    "runs_verb",
    "audit_verb",
    "fit_verb",
    "backtest_verb",
    "compare_verb",
    "multiverse_verb",
    "approaches_verb",
    "speedup_verb",
    "reproduce_verb",
    "laws_verb",
    "plan_verb",
    "train_verb",
    "data_verb",
    "finetune_verb",
    "predict_text_verb",
    "prompt_verb",
    "generate_verb",
    "evaluate_verb",
    "retrieve_verb",
    "report_verb",
    "export_verb",
    "import_verb",
    "parametrizations_verb",
    "coord_check_verb",
    "transfer_verb",
)
"""Modules of this room; each has `register(app)`, which adds its verb (or group of verbs) to the command."""


def register(app: typer.Typer) -> None:
    for module in VERBS:
        importlib.import_module(f"isoflop.cli.{module}").register(app)
