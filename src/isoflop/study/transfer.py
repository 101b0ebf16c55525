"""Does the best learning rate stay where it is as models get wider and deeper? A sweep, its optima, and their move."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isoflop.data import CorpusConfig, TokenizerConfig, prepare_tokens
from isoflop.data.tokens import cache_folder
from isoflop.errors import UserError
from isoflop.executors import LocalExecutor
from isoflop.files import check_folder, write_json
from isoflop.models import parametrization
from isoflop.planning.ladder import FFN_STEP, SWIGLU_RATIO
from isoflop.runs import Run
from isoflop.shapes import ModelShape
from isoflop.study.rate import best_rate, next_rate
from isoflop.study.trunks import train_trunks
from isoflop.training import OptimizerConfig, Schedule, TrunkJob
from isoflop.training.record import hardware, versions

LARGEST_MOVE = 1.0
"""Factor-2 steps that the best rate of a parametrisation may move and still be called transferred."""
START_RATES: Mapping[str, tuple[float, ...]] = {
    "sp": tuple(2.0**k for k in range(-9, -3)),
    "mup": tuple(2.0**k for k in range(-7, -2)),
    "u-mup": tuple(2.0**k for k in range(-3, 4)),
    "completep": tuple(2.0**k for k in range(-7, -2)),
}
"""Where the sweep starts. SP needs the longest stretch, since its best rate moves; u-μP's rates are relative to weights
of size 1, the others' to weights of size 0.02."""


@dataclass(frozen=True)
class TransferConfig:
    """What is swept: `widths` at `depth` layers, `depths` at `width`, every rate, every seed.

    Heads have `head_size` and grow in number. The smallest width and depth are the base of μP and CompleteP. `rates`
    empty: some around the usual optimum of each parametrisation; where the best is at an edge, more are tried.
    """

    parametrizations: tuple[str, ...] = ("sp", "mup", "u-mup", "completep")
    widths: tuple[int, ...] = (16, 32, 64, 128)
    depth: int = 2
    depths: tuple[int, ...] = (2, 4, 8)
    width: int = 32
    rates: tuple[float, ...] = ()
    seeds: int = 1
    steps: int = 400
    batch: int = 16
    context: int = 64
    head_size: int = 16
    warmup_share: float = 0.1
    cooldown_fraction: float = 0.5
    valid_sequences: int = 512
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)

    def __post_init__(self) -> None:
        for name in self.parametrizations:
            parametrization(name)
        if not self.parametrizations or not (self.widths or self.depths):
            raise UserError("A transfer sweep needs at least one parametrisation and one width or depth.")
        for width in (*self.widths, self.width):
            if width < 1 or width % self.head_size:
                raise UserError(f"Width {width} is not a multiple of the head size {self.head_size}: choose one.")
        if min((*self.depths, self.depth, self.seeds, self.steps)) < 1:
            raise UserError("A transfer sweep needs depths, seeds and steps of at least 1.")
        if any(not 0 < rate < math.inf for rate in self.rates):
            raise UserError("The learning rates of a transfer sweep must be above 0 and finite.")

    def start_rates(self, name: str) -> tuple[float, ...]:
        return self.rates or START_RATES[name]

    def sizes(self) -> list[tuple[int, int]]:
        """Each (width, layers) that is trained, once."""
        return list(dict.fromkeys([(w, self.depth) for w in self.widths] + [(self.width, d) for d in self.depths]))

    def shape(self, width: int, layers: int, vocab: int) -> ModelShape:
        ffn = max(FFN_STEP, round(SWIGLU_RATIO * width / FFN_STEP) * FFN_STEP)
        heads = width // self.head_size
        return ModelShape(layers, width, heads, vocab, self.context, ffn, norm="plain")


@dataclass(frozen=True)
class Line:
    """One line of the figure: the mean loss over seeds by learning rate (None: a run diverged), and the best rate.

    `loss` at the best rate is that of the best rate tried; `bracketed` is false where it is at an edge of those tried.
    """

    parametrization: str
    width: int
    layers: int
    losses: dict[float, float | None]
    best: float
    bracketed: bool

    @property
    def loss(self) -> float:
        return min(loss for loss in self.losses.values() if loss is not None)


@dataclass(frozen=True)
class Transfer:
    """The lines of a sweep, and how far each parametrisation's best rate moved, in factor-2 steps."""

    config: TransferConfig
    lines: tuple[Line, ...]

    def of(self, name: str, *, by: str) -> list[Line]:
        """The lines of one parametrisation along "width" or "depth", small to large."""
        config = self.config
        wanted = (
            [(w, config.depth) for w in config.widths] if by == "width" else [(config.width, d) for d in config.depths]
        )
        found = {(line.width, line.layers): line for line in self.lines if line.parametrization == name}
        return [found[size] for size in sorted(wanted)]

    def move(self, name: str, *, by: str) -> float:
        """How far apart the best rates along width or depth lie: log2 of the largest over the smallest."""
        best = [line.best for line in self.of(name, by=by)]
        return math.log2(max(best) / min(best)) if best else 0.0

    def verdict(self, name: str) -> bool:
        """Whether the best rate carried over: moved by at most one factor of two in width, and in depth."""
        return max(self.move(name, by="width"), self.move(name, by="depth")) <= LARGEST_MOVE


def run_transfer(
    config: TransferConfig, out: Path, *, listen: Callable[[str], None], processes: int | None = None
) -> Transfer:
    """Train the sweep in `out` (or go on with it) and write `transfer.json` there; `listen` gets a line for each run.

    Raises `UserError` where `out` can't be written, the text is too short, or every rate of a size diverged.
    """
    check_folder(out)
    data, _ = prepare_tokens(config.corpus, config.tokenizer, cache=cache_folder())
    maker = _Maker(config, out.resolve(), str(data.folder), data.vocab)
    with LocalExecutor(slots=processes) as executor:
        lines = [
            _line(maker, executor, name, size, listen) for name in config.parametrizations for size in config.sizes()
        ]
    transfer = Transfer(config, tuple(lines))
    write_json(out / "transfer.json", transfer_record(transfer))
    return transfer


@dataclass(frozen=True)
class _Maker:
    """Makes the sweep's jobs: holds what they share."""

    config: TransferConfig
    out: Path
    data: str
    vocab: int

    def job(self, name: str, size: tuple[int, int], rate: float, seed: int) -> TrunkJob:
        config = self.config
        base = config.shape(min((*config.widths, config.width)), min((*config.depths, config.depth)), self.vocab)
        return TrunkJob(
            trunk=f"{name}-W{size[0]}-L{size[1]}-lr{rate:g}-s{seed}",
            role="tune",
            shape=config.shape(*size, self.vocab),
            base=base,
            milestones=(config.steps,),
            batch=config.batch,
            parametrization=name,
            optimizer=OptimizerConfig(lr=rate),
            schedule=Schedule(round(config.warmup_share * config.steps), config.cooldown_fraction),
            seed=seed,
            valid_sequences=config.valid_sequences,
            data=self.data,
            out=str(self.out / "runs"),
        )


def _line(
    maker: _Maker, executor: LocalExecutor, name: str, size: tuple[int, int], listen: Callable[[str], None]
) -> Line:
    """Sweep the rates at one size, further ones while the best is at an edge."""
    losses: dict[float, float | None] = {}
    given = wanted = maker.config.start_rates(name)
    while wanted:
        jobs = [maker.job(name, size, rate, seed) for rate in wanted for seed in range(maker.config.seeds)]
        measured = _train(jobs, executor, listen)
        losses |= {rate: _mean([measured[job.trunk] for job in jobs if job.optimizer.lr == rate]) for rate in wanted}
        further = next_rate(losses, given=len(given))
        wanted = (further,) if further is not None else ()
    best = best_rate(losses)
    finished = {rate: loss for rate, loss in losses.items() if loss is not None}
    lowest = min(finished, key=lambda rate: finished[rate])
    bracketed = min(losses) < lowest < max(losses)
    return Line(name, *size, dict(sorted(losses.items())), best, bracketed)


def _train(jobs: Sequence[TrunkJob], executor: LocalExecutor, listen: Callable[[str], None]) -> dict[str, float | None]:
    losses: dict[str, float | None] = {}
    for event in train_trunks(executor, jobs):
        if isinstance(event.what, Run):
            losses[event.trunk] = event.what.loss
            listen(f"{event.trunk}: " + ("diverged" if event.what.loss is None else f"{event.what.loss:.4f}"))
    return losses


def _mean(losses: Sequence[float | None]) -> float | None:
    """The mean over seeds; None where one of them diverged."""
    finished = [loss for loss in losses if loss is not None]
    return sum(finished) / len(finished) if len(finished) == len(losses) else None


def transfer_record(transfer: Transfer) -> dict[str, Any]:
    """What `transfer.json` holds: settings, machine, every line, and how far each parametrisation's best rate moved."""
    names = transfer.config.parametrizations
    return {
        "config": json.loads(json.dumps(asdict(transfer.config))),
        "machine": {**hardware(1, "cpu"), "python": platform.python_version(), "versions": versions()},
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "lines": [{**asdict(line), "losses": [list(pair) for pair in line.losses.items()]} for line in transfer.lines],
        "move": {
            name: {by: transfer.move(name, by=by) for by in ("width", "depth")} | {"passed": transfer.verdict(name)}
            for name in names
        },
    }


def read_transfer(path: Path) -> Transfer:
    """Read a `transfer.json`. Raises `UserError` where it is none."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        given = record["config"]
        nested = {
            "corpus": CorpusConfig(**_tuples(given["corpus"])),
            "tokenizer": TokenizerConfig(**given["tokenizer"]),
        }
        config = TransferConfig(**{**_tuples(given), **nested})
        lines = [Line(**{**line, "losses": dict(line["losses"])}) for line in record["lines"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a transfer record ({error}): run isoflop transfer first.") from error
    return Transfer(config, tuple(lines))


def _tuples(record: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
