"""The circle: corpus, ladder, sweep, rungs, law, prediction, target, verdict. Each step leaves its file, once."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isoflop.errors import UserError
from isoflop.executors import Executor, LocalExecutor, RayExecutor, Resources, SlurmExecutor, is_url
from isoflop.files import write_json, write_text
from isoflop.fitting import Fit, Huber, fit
from isoflop.planning import Ladder
from isoflop.runs import Run, load_runs
from isoflop.study.config import StudyConfig
from isoflop.study.jobs import JobMaker, makespan
from isoflop.study.preparation import Preparation, prepare
from isoflop.study.rate import best_rate, next_rate
from isoflop.study.stored import home_of
from isoflop.study.trunks import TrunkEvent, train_trunks
from isoflop.training import TrunkJob

LEVEL = 0.9
DRAWS = 4000
OBJECTIVE = Huber(delta=1e-2)
"""Rungs scatter by about 0.5 %, normally: least squares up to 1 % uses all of them, and a rung that went wrong still
can't pull the law along. (δ = 1e-3 would be least absolute deviations here, a third less efficient.)"""


@dataclass(frozen=True)
class Phase:
    """A part of the study begins: its name, the trunks it will train, the seconds expected for it and for the rest."""

    name: str
    jobs: tuple[TrunkJob, ...] = ()
    seconds: float = 0.0
    later: float = 0.0


@dataclass(frozen=True)
class Note:
    """One sentence about what was found or done."""

    text: str


Event = Phase | Note | TrunkEvent
Listener = Callable[[Event], None]


def run_study(config: StudyConfig, out: Path | str, *, listen: Listener, on: str = "local") -> dict[str, Any]:
    """Run the study `config` in the folder `out`, or go on with it; returns the verdict, which is also in `out`.

    `on` says where its runs are trained: "local", "slurm", "ray" or "ray://HOST:PORT"; the last three need `out` and
    the token cache on storage that all machines share, or `out` in an object store ("s3://BUCKET/FOLDER", "gs://…").

    Leaves `runs/`, `plan.toml`, `fit.json`, `prediction.json`, `verdict.json` and `report.html` in `out`. Raises
    `UserError` where `out` holds a study with other settings, or is in use, or a setting is impossible.
    """
    _check_place(on, config.device)
    with home_of(out) as home:
        here = home.folder

        def heard(event: Event) -> None:
            if not isinstance(event, TrunkEvent):
                home.send()
            listen(event)

        settings, before = settle_settings(config, here), _plan_before(here)
        clock = Clock(here)
        heard(Phase("corpus"))
        flops = before["flops"]["budget"] if before else None
        ready = prepare(config, flops=flops, listen=lambda text: heard(Note(text)))
        _settle_plan(here, ready, before)
        write_json(here / "study.json", settings)
        maker = JobMaker(config, ready.ladder, ready.data, here, ready.speed)
        with home.executor(executor_for(on, config.machines, out)) as executor:
            return _circle(maker, executor, clock, heard)


def _circle(maker: JobMaker, executor: Executor, clock: Clock, listen: Listener) -> dict[str, Any]:
    out = maker.out
    rate = _tuned_rate(maker, executor, listen)
    _train(_phase(maker, "ladder", maker.rungs(rate), executor.slots), executor, listen)
    clock.save()
    listen(Phase("fit"))
    prediction = _predict(maker, out)
    listen(
        Note(f"predicted {prediction['value']:.3f} [{prediction['low']:.3f}, {prediction['high']:.3f}] for the target")
    )
    targets = _train(_phase(maker, "target", maker.targets(rate), executor.slots), executor, listen)
    clock.save()
    verdict = make_verdict(maker.ladder, prediction, targets, seconds=clock.seconds())
    write_json(out / "verdict.json", verdict)
    from isoflop.report import write_report  # the processes that train, which import this package, need no plotly

    write_report(out)
    return verdict


def _tuned_rate(maker: JobMaker, executor: Executor, listen: Listener) -> float:
    """Try the rates at the smallest size, and further ones while the best is at an edge; then the parabola's best."""
    rates = list(maker.ladder.rates)
    if not rates:
        return maker.config.ladder.rates[0]
    losses: dict[float, float | None] = {}
    wanted: Sequence[float] = rates
    while wanted:
        jobs = [maker.sweep(rate) for rate in wanted]
        runs = _train(_phase(maker, "learning rate", jobs, executor.slots), executor, listen)
        measured = {run.trunk: run.loss for run in runs}
        losses |= {rate: measured[job.trunk] for rate, job in zip(wanted, jobs, strict=True)}
        further = next_rate(losses)
        wanted = [further] if further is not None else []
    best = best_rate(losses)
    tried = ", ".join(
        f"{rate:g}: {loss:.3f}" if loss else f"{rate:g}: diverged" for rate, loss in sorted(losses.items())
    )
    listen(Note(f"learning rate {best:.3g} (tried {tried})"))
    return best


def _phase(maker: JobMaker, name: str, jobs: Sequence[TrunkJob], slots: int) -> Phase:
    expected = maker.phase_seconds(slots)
    later = list(expected)[list(expected).index(name) + 1 :]
    seconds = makespan([maker.seconds(job) for job in jobs], slots)
    return Phase(name, tuple(jobs), seconds, sum(expected[one] for one in later))


def _train(phase: Phase, executor: Executor, listen: Listener) -> list[Run]:
    listen(phase)
    runs = []
    for event in train_trunks(executor, phase.jobs):
        if isinstance(event.what, Run):
            runs.append(event.what)
        listen(event)
    return runs


def _predict(maker: JobMaker, out: Path) -> dict[str, Any]:
    """Fit the law and write the prediction down, before any target starts; a prediction once written stays."""
    path = out / "prediction.json"
    if path.exists():
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content
    law = fit_ladder(out, seed=maker.config.seed)
    write_text(out / "fit.json", law.to_json() + "\n")
    target = maker.ladder.target
    tokens = maker.ladder.tokens(target.steps[0])
    found = law.predict(N=target.params, D=tokens, of="run", level=LEVEL)
    prediction = {
        "value": float(found.value),
        "low": float(found.low),
        "high": float(found.high),
        "level": LEVEL,
        "target": {"params": target.params, "tokens": tokens, "flops": 6.0 * target.params * tokens},
        "status": [asdict(status) for status in law.status],
        "written_at": now(),
    }
    write_json(path, prediction)
    return prediction


def fit_ladder(out: Path, *, seed: int) -> Fit:
    """The Chinchilla law fitted to the finished rungs in `out`."""
    return fit(load_runs(out / "runs"), "chinchilla", objective=OBJECTIVE, draws=DRAWS, seed=seed)


def make_verdict(
    ladder: Ladder, prediction: dict[str, Any], targets: Sequence[Run], *, seconds: float
) -> dict[str, Any]:
    """Predicted against measured: the mean loss over the target's finished replicates (None where all diverged)."""
    losses = [run.loss for run in targets if run.loss is not None]
    measured = sum(losses) / len(losses) if losses else None
    interval = {key: prediction[key] for key in ("value", "low", "high", "level")}
    return {
        "predicted": interval,
        "measured": measured,
        "measured_each": losses,
        "error_percent": None if measured is None else 100 * (prediction["value"] / measured - 1),
        "inside": None if measured is None else prediction["low"] <= measured <= prediction["high"],
        "seconds": seconds,
        "target": prediction["target"],
        "ladder": {
            "flops": ladder.ladder_flops,
            "largest_flops": ladder.largest_flops,
            "rungs": sum(len(rung.steps) * rung.replicates for rung in ladder.rungs),
        },
        "status": prediction["status"],
        "prediction_written_at": prediction["written_at"],
        "target_started_at": min(run.started_at for run in targets),
    }


class Clock:
    """Wall time of the study over all its sittings."""

    def __init__(self, out: Path) -> None:
        self.path, self.start = out / "clock.json", time.monotonic()
        try:
            self.before = float(json.loads(self.path.read_text())["seconds"])
        except (OSError, ValueError, KeyError):
            self.before = 0.0

    def seconds(self) -> float:
        return self.before + time.monotonic() - self.start

    def save(self) -> None:
        write_json(self.path, {"seconds": self.seconds()})


def _check_place(on: str, device: str) -> None:
    """Raise `UserError` for a place that can't be meant, before the corpus is read: unknown, or here without a GPU."""
    if on not in ("local", "slurm", "ray") and not on.startswith("ray://"):
        raise UserError(f"--on {on} is unknown: choose local, slurm, ray or ray://HOST:PORT.")
    if on == "local" and device == "cuda":
        from torch.cuda import is_available

        if not is_available():
            raise UserError('There is no CUDA device here: set device = "cpu" in the study file.')


def executor_for(on: str, machines: Resources, out: Path | str) -> Executor:
    """Where the runs are trained: "local", "slurm", "ray" or "ray://HOST:PORT". Raises `UserError` for another."""
    if on == "local":
        return LocalExecutor(cpus=machines.cpus, gpus=machines.gpus)
    if on == "slurm":
        if is_url(out):
            raise UserError(f"--on slurm needs --out in a folder that all machines see, not {out}.")
        return SlurmExecutor(Path(out).resolve() / "slurm", machines)
    if on == "ray" or on.startswith("ray://"):
        return RayExecutor("auto" if on == "ray" else on, cpus=machines.cpus, gpus=machines.gpus)
    raise UserError(f"--on {on} is unknown: choose local, slurm, ray or ray://HOST:PORT.")


def settle_settings(config: Any, out: Path) -> dict[str, Any]:
    """A study's settings (dataclasses in a dataclass) as JSON holds them.

    Refuses to mix two studies, or a study and a training, in one folder.
    """
    path = out / "study.json"
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    settings.pop("machines")  # which machines train changes no number, and what they cost none either
    settings.pop("prices", None)
    if not path.exists():
        if any((out / name).exists() for name in ("run.json", "job.json", "plan.json")):
            raise UserError(f"{out} holds a training: choose another --out for the study.")
        return settings
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = [
        f"{section}.{key}" if isinstance(value, dict) else section
        for section, value in settings.items()
        for key in (value if isinstance(value, dict) else [section])
        if (value[key] if isinstance(value, dict) else value)
        != (before.get(section, {}).get(key) if isinstance(value, dict) else before.get(section))
    ]
    if changed:
        raise UserError(f"{out} holds a study with another {', '.join(changed)}: choose another --out to keep both.")
    return settings


def _plan_before(out: Path) -> dict[str, Any] | None:
    """The plan that an earlier sitting wrote."""
    path = out / "plan.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete it and run again.") from error


def _settle_plan(out: Path, ready: Preparation, before: dict[str, Any] | None) -> None:
    """Write the plan down; a later sitting must come to the same one, or its runs would not belong together."""
    import tomli_w

    text = tomli_w.dumps(_plan(ready))
    if before is None:
        write_text(out / "plan.toml", text)
        return
    now = tomllib.loads(text)
    if now["text"] != before["text"]:
        raise UserError(f"{out} holds a study of other text: restore what corpus.paths named, or choose another --out.")
    if now != before:
        raise UserError(f"{out} holds a study that another version of isoflop planned: choose another --out.")


def _plan(ready: Preparation) -> dict[str, Any]:
    ladder = ready.ladder
    return {
        "text": {"corpus_hash": ready.data.corpus_hash, "tokenizer_hash": ready.data.tokenizer_hash},
        "target": _rung_record(ladder, ladder.target),
        "rungs": [_rung_record(ladder, rung) for rung in ladder.rungs],
        "sweep": {**_rung_record(ladder, ladder.sweep), "rates": list(ladder.rates)},
        "flops": {
            "budget": ready.budget_flops,
            "ladder": ladder.ladder_flops,
            "largest_rung": ladder.largest_flops,
            "total": ladder.total_flops,
        },
    }


def _rung_record(ladder: Ladder, rung: Any) -> dict[str, Any]:
    shape = {key: value for key, value in rung.shape.to_dict().items() if value is not None}
    tokens = [ladder.tokens(steps) for steps in rung.steps]
    return {"params": rung.params, "tokens": tokens, "replicates": rung.replicates, "shape": shape}


def now() -> str:
    """The time as a record holds it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
