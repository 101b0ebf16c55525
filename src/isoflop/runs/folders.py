"""A folder of run folders as a table, and which of its runs a fit may see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from isoflop.errors import UserError
from isoflop.runs.names import list_some
from isoflop.runs.run import Run, read_run
from isoflop.runs.tabular import RawTable, table_of_records

ROLE_THAT_IS_FITTED = "rung"


def find_run_folders(folder: Path) -> list[Path]:
    """Every folder at or below `folder` that holds a `run.json`, sorted; hidden folders are passed over."""
    return sorted(
        record.parent
        for record in folder.rglob("run.json")
        if not any(part.startswith(".") for part in record.relative_to(folder).parts)
    )


def read_run_folders(folder: Path, *, any_role: bool = False) -> RawTable:
    """The run records below `folder` as raw columns; a nested value is named like `schedule.warmup_steps`, and the
    peak learning rate `lr`. The whole configuration and the versions stay in `run.json`.

    Diverged runs stay out, and so do all roles but `rung` unless `any_role`: a fit must never see the target it is to
    predict, nor the runs on which learning rates were tuned. Each is named in a note.
    """
    found = [read_run(one) for one in find_run_folders(folder)]
    diverged = [run for run in found if not _is_measured(run)]
    measured = [run for run in found if _is_measured(run)]
    kept = [run for run in measured if any_role or run.role == ROLE_THAT_IS_FITTED]
    notes = [f"Kept out {run.run}: it diverged{' (' + run.note + ')' if run.note else ''}." for run in diverged]
    for role in sorted({run.role for run in measured} - {run.role for run in kept}):
        names = [run.run for run in measured if run.role == role]
        notes.append(
            f"Kept out {len(names)} {role} runs ({list_some(names, 4)}), as a fit sees rungs only: "
            f"ask for role={role} to read them."
        )
    if not kept:
        raise UserError(f"{folder} holds no finished rung: {' '.join(notes)}")
    records = [_record(run) for run in kept]
    filled = {name for record in records for name, value in record.items() if value not in (None, "")}
    return table_of_records(
        [{name: value for name, value in record.items() if name in filled} for record in records], str(folder), notes
    )


def _record(run: Run) -> dict[str, Any]:
    record = {name: value for name, value in asdict(run).items() if name not in ("config", "versions")}
    if "lr" in run.optimizer:
        record["lr"] = run.optimizer["lr"]
    return dict(_flat({**record, "bits_per_byte": run.bits_per_byte}))


def _is_measured(run: Run) -> bool:
    return run.status == "finished" and run.loss is not None


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, (list, tuple)):
            yield f"{prefix}{name}", value


def describe_runs(folder: Path) -> list[dict[str, Any]]:
    """What `isoflop runs ls` shows of every run below `folder`, in plain values, by role, size and tokens."""
    runs = sorted((read_run(one) for one in find_run_folders(folder)), key=_order)
    names = ("role", "run", "status", "params", "tokens", "flops", "loss", "loss_se", "bits_per_byte")
    return [{name: getattr(run, name) for name in (*names, "tokens_per_second", "seconds", "note")} for run in runs]


def _order(run: Run) -> tuple[int, int, int, str]:
    return ("tune", "rung", "target", "train", "finetune").index(run.role), run.params, run.tokens, run.run
