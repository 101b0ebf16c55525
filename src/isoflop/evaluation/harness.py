"""Tasks of lm-evaluation-harness (Gao et al., the package lm_eval) through its own API, on a checkpoint on this disk.

Its figures are its own; intervals and tests between models are made here, of what it says of each example.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isoflop.errors import UserError
from isoflop.evaluation.evaluated import Evaluated, figures_of
from isoflop.evaluation.intervals import Array, Resampling
from isoflop.evaluation.measure import Measure
from isoflop.models import load_model, to_hugging_face

BATCH = 8
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
AGREES = 1e-9
"""How near, in proportion, a mean over examples has to be to the harness' figure to be taken for it."""


def _nats(means: Array) -> Array:
    return -means[..., 0] / means[..., 1]


OF_LIKELIHOODS = {
    "bits_per_byte": lambda means: _nats(means) / np.log(2),
    "byte_perplexity": lambda means: np.exp(_nats(means)),
    "word_perplexity": lambda means: np.exp(_nats(means)),
}
"""Figures of an example's log-likelihood and its length."""


def evaluate_harness(
    model: Path,
    tasks: Sequence[str],
    *,
    against: Path | None = None,
    folder: Path | None = None,
    limit: int | None = None,
    resampling: Resampling | None = None,
) -> Evaluated:
    """Run `tasks` (names, or paths of YAML files) on a model of ours or a Hugging Face folder, and on `against`.

    `folder` holds further tasks as YAML; `limit` is the most examples of each. Nothing is fetched from the net. Raises
    `UserError` where lm_eval is not installed, where it does not know a task, and with its own words where it fails.
    """
    resampling = resampling or Resampling()
    found = [_run(one, tasks, folder, limit) for one in ([model] if against is None else [model, against])]
    measures = [_measures(one) for one in found]
    first = found[0]
    return Evaluated(
        kind="harness",
        models=tuple(_facts(path, one) for path, one in zip((model, against), found, strict=False) if path is not None),
        data={"tasks": {name: {"version": str(first["versions"].get(name)), **first["n-samples"][name]}
                        for name in first["samples"]}},
        how={"lm_eval": first["lm_eval_version"], "shots": first["n-shot"], "limit": limit},
        figures=figures_of(measures, resampling),
        resampling=resampling,
    )  # fmt: skip


def _run(model: Path, tasks: Sequence[str], folder: Path | None, limit: int | None) -> dict[str, Any]:
    with _offline(), _checkpoint(model) as checkpoint:
        try:
            lm_eval: Any = importlib.import_module("lm_eval")
            models: Any = importlib.import_module("lm_eval.models.huggingface")
            index: Any = importlib.import_module("lm_eval.tasks")
        except ImportError as error:
            raise UserError("--harness needs lm-evaluation-harness: pip install 'isoflop[harness]'.") from error
        try:
            with _silent():
                manager = _known_tasks(index.TaskManager, tasks, folder)
                language_model = models.HFLM(
                    pretrained=str(checkpoint), device="cpu", dtype="float32", batch_size=BATCH
                )
                # The harness would bootstrap for minutes, F1 above all; and intervals are made here.
                found = lm_eval.simple_evaluate(
                    language_model, tasks=list(tasks), task_manager=manager, bootstrap_iters=0, limit=limit
                )
        except UserError:
            raise
        except Exception as error:  # it raises what its parts, data sets and metrics raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"lm_eval could not run {', '.join(tasks)} on {model}: {reason}") from error
    assert found is not None
    return dict(found)


def _known_tasks(manager: Any, tasks: Sequence[str], folder: Path | None) -> Any:
    """The index of tasks; that of the harness' own, which takes seconds to make, only where one of them is meant."""
    named = [one for one in tasks if not Path(one).is_file()]
    for defaults in (False, True):
        known = manager(include_path=None if folder is None else str(folder), include_defaults=defaults)
        unknown = [one for one in named if not known.match_tasks([one])]
        if not unknown:
            return known
    raise UserError(f"lm_eval knows no task {unknown[0]!r}: name one of its tasks, or a YAML file with one.")


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Data sets are looked for on this machine only, unless the user's environment says otherwise."""
    added = {name: value for name, value in OFFLINE.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextlib.contextmanager
def _checkpoint(model: Path) -> Iterator[Path]:
    """The folder of a checkpoint that transformers reads: the model's own, or an export of a model of ours."""
    ours = model / "model" if (model / "model" / "model.json").exists() else model
    if not (ours / "model.json").exists():
        if not (model / "config.json").exists():
            raise UserError(f"{model} is no model of isoflop and no Hugging Face checkpoint: the harness can't run it.")
        yield model
        return
    with tempfile.TemporaryDirectory() as folder:
        module, info = load_model(ours)
        to_hugging_face(module, Path(folder), tokenizer=info.tokenizer)
        yield Path(folder)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without the bars and remarks of the harness and what it loads."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(io.StringIO()):
                yield
    finally:
        logging.disable(before)


def _measures(found: Mapping[str, Any]) -> dict[str, Measure]:
    """Each figure of each task; with the examples' own values where these make it."""
    measures = {}
    for task, results in found["results"].items():
        for key, value in results.items():
            name, _, what = key.partition(",")
            if what and not name.endswith("_stderr") and isinstance(value, (int, float)):
                label = f"{task}: {name}" + ("" if what == "none" else f" ({what})")
                measures[label] = _measure(found["samples"].get(task, []), name, what, float(value))
    return measures


def _measure(samples: Sequence[Mapping[str, Any]], name: str, what: str, value: float) -> Measure:
    """Of a figure that its examples' values don't make there is no interval."""
    rows = [one[name] for one in samples if one.get("filter", what) == what and name in one]
    try:
        values = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        return Measure(None, given=value)
    if name in OF_LIKELIHOODS and values.ndim == 2 and values.shape[1] == 2:
        made = Measure(values, OF_LIKELIHOODS[name])
    elif values.ndim == 1 and values.size:
        made = Measure(values)
    else:
        return Measure(None, given=value)
    mine = float(made.figure(np.atleast_2d(values.T).mean(axis=1)))
    return made if abs(mine - value) <= AGREES * max(1.0, abs(value)) else Measure(None, given=value)


def _facts(path: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    return {"path": str(path.resolve()), "class": "lm_eval " + found["lm_eval_version"], "window": found["max_length"]}
