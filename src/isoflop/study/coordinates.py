"""Coordinate check: do activations, and what training changes in them, keep their size as models get wider and deeper?

Yang et al. 2022 (arXiv 2203.03466, appendix D.1). A parametrisation whose update sizes grow with width can't have one
best learning rate for all widths; one whose update sizes vanish stops learning features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from isoflop.errors import UserError
from isoflop.models import Batch, Parametrization, build_model, parametrization
from isoflop.models.parametrization import ONE
from isoflop.planning.ladder import FFN_STEP, SWIGLU_RATIO
from isoflop.shapes import ModelShape
from isoflop.training import OptimizerConfig, build_optimizer
from isoflop.training.loop import train_steps
from isoflop.training.processor import processor_settings

Kind = Literal["size", "change"]
By = Literal["width", "depth"]
LAST = "last block"
UNIT_RATE, STANDARD_RATE = 1.0, 2.0**-6
"""Near the best rates of a short run (docs/transfer.md) for u-μP and for the others: an update too small to matter
would prove nothing."""


@dataclass(frozen=True)
class CheckConfig:
    """Models of `widths` at `depth` layers and of `depths` at `width`, each trained for `steps` from `seeds` seeds.

    `tolerance` is how far the slope of log size against log width (or depth) may be from what theory says.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256)
    depth: int = 2
    depths: tuple[int, ...] = (2, 4, 8, 16)
    width: int = 32
    steps: int = 8
    seeds: int = 2
    tolerance: float = 0.25
    batch: int = 8
    context: int = 64
    vocab: int = 256
    head_size: int = 16

    def __post_init__(self) -> None:
        if len(set(self.widths)) < 2 or len(set(self.depths)) < 2:
            raise UserError("A coordinate check needs at least two widths and two depths.")
        for width in (*self.widths, self.width):
            if width < 1 or width % self.head_size:
                raise UserError(f"Width {width} is not a multiple of the head size {self.head_size}: choose one.")
        if min((*self.depths, self.depth, self.steps, self.seeds)) < 1:
            raise UserError("A coordinate check needs depths, steps and seeds of at least 1.")

    def shape(self, width: int, layers: int) -> ModelShape:
        ffn = max(FFN_STEP, round(SWIGLU_RATIO * width / FFN_STEP) * FFN_STEP)
        return ModelShape(layers, width, width // self.head_size, self.vocab, self.context, ffn, norm="plain")

    def base(self) -> ModelShape:
        return self.shape(min((*self.widths, self.width)), min((*self.depths, self.depth)))


@dataclass(frozen=True)
class Trace:
    """One quantity of one parametrisation against width or depth: root mean squares, and the slope of their logs."""

    parametrization: str
    by: By
    what: str
    kind: Kind
    sizes: tuple[int, ...]
    values: tuple[float, ...]
    expected: tuple[float, float]
    judged: bool
    """Whether the parametrisation has a rule for this: depth is judged only where the table has a depth rule."""

    @property
    def slope(self) -> float:
        """Least-squares slope of log value against log size; infinite where a value is not finite."""
        if not all(0 < value < math.inf for value in self.values):
            return math.inf
        return float(np.polyfit(np.log(self.sizes), np.log(self.values), 1)[0])

    def passes(self, tolerance: float) -> bool:
        low, high = self.expected
        return low - tolerance <= self.slope <= high + tolerance


@dataclass(frozen=True)
class Check:
    """All traces of a coordinate check."""

    config: CheckConfig
    traces: tuple[Trace, ...]

    def failures(self, name: str) -> list[Trace]:
        """The judged traces of a parametrisation that are not as theory says."""
        mine = [trace for trace in self.traces if trace.parametrization == name and trace.judged]
        return [trace for trace in mine if not trace.passes(self.config.tolerance)]

    def passed(self, name: str) -> bool:
        """Whether a parametrisation is right in width and, where it has a depth rule, in depth."""
        return not self.failures(name)

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(trace.parametrization for trace in self.traces))

    def to_dict(self) -> dict[str, Any]:
        traces = [
            {
                "parametrization": trace.parametrization,
                "by": trace.by,
                "what": trace.what,
                "kind": trace.kind,
                trace.by: list(trace.sizes),
                "rms": [value if math.isfinite(value) else None for value in trace.values],
                "slope": trace.slope if math.isfinite(trace.slope) else None,
                "expected": list(trace.expected),
                "judged": trace.judged,
                "passed": trace.passes(self.config.tolerance),
            }
            for trace in self.traces
        ]
        return {
            "tolerance": self.config.tolerance,
            "passed": {name: self.passed(name) for name in self.names},
            "traces": traces,
        }


def check_coordinates(
    tables: Sequence[Parametrization],
    config: CheckConfig | None = None,
    *,
    listen: Callable[[str], None] = lambda _: None,
) -> Check:
    """Train small models under each of `tables` for some steps and measure; `listen` gets a line for each model size.

    Quantities are the embedding's output, each block's and the logits, as root mean squares over a probe batch: `size`
    before training, `change` of the value itself between first and last step.
    """
    config = config or CheckConfig()
    traces: list[Trace] = []
    with processor_settings(1):
        for table in tables:
            for by in ("width", "depth"):
                traces += _traces(table, by, config, listen)
    return Check(config, tuple(traces))


def check_parametrizations(
    names: Sequence[str], config: CheckConfig | None = None, *, listen: Callable[[str], None] = lambda _: None
) -> Check:
    """`check_coordinates` of parametrisations by name. Raises `UserError` for an unknown one."""
    return check_coordinates([parametrization(name) for name in names], config, listen=listen)


def _traces(table: Parametrization, by: By, config: CheckConfig, listen: Callable[[str], None]) -> Iterator[Trace]:
    sizes = sorted(set(config.widths if by == "width" else config.depths))
    measured: list[dict[tuple[Kind, str], float]] = []
    for size in sizes:
        shape = config.shape(size, config.depth) if by == "width" else config.shape(config.width, size)
        seeds = [_measure(table, shape, config, seed) for seed in range(config.seeds)]
        measured.append({key: sum(one[key] for one in seeds) / len(seeds) for key in seeds[0]})
        listen(f"{table.name}, {by} {size}")
    for kind, what in measured[0]:
        if all((kind, what) in one for one in measured) and (by == "width" or what in (LAST, "logits")):
            values = tuple(one[kind, what] for one in measured)
            judged = by == "width" or table.block.branch != ONE
            yield Trace(table.name, by, what, kind, tuple(sizes), values, _expected(table, by, what, kind), judged)


def _expected(table: Parametrization, by: By, what: str, kind: Kind) -> tuple[float, float]:
    """The slopes that are right: 0, but for what may fade as the width grows.

    Logits, and the change in them, hold a sum of `width` independent terms over `width`, which fades by its square root
    and leaves what was learnt (Yang et al., appendix D.1). u-μP's embedding moves by η/√width (its embedding rule), and
    the residual stream holds the embedding.
    """
    if by == "depth":
        return 0.0, 0.0
    if what == "logits":
        return -0.5, 0.0
    power = table.rules["embedding"].lr.fan_in if kind == "change" else 0.0
    return (power, power) if what == "embedding" else (power, 0.0)


def _measure(
    table: Parametrization, shape: ModelShape, config: CheckConfig, seed: int
) -> dict[tuple[Kind, str], float]:
    """Root mean squares by kind and quantity, of one model from one seed."""
    model, rules = build_model(shape, table, base=config.base(), seed=seed)
    rate = UNIT_RATE if table.unit_scaled else STANDARD_RATE
    optimizer = build_optimizer(model, rules, OptimizerConfig(lr=rate, clip=math.inf))
    batches = _Pairs(config, seed)
    probe = batches.at(config.steps)
    before = _activations(model, probe)
    for _ in train_steps(
        model, batches, optimizer=optimizer, steps=range(config.steps), lr_factor=lambda _: 1.0, clip=math.inf
    ):
        pass
    after = _activations(model, probe)
    found: dict[tuple[Kind, str], float] = {("size", what): _rms(value) for what, value in before.items()}
    return found | {("change", what): _rms(after[what] - before[what]) for what in before}


@torch.no_grad()
def _activations(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Outputs of the embedding, of each block, and the logits, of one forward pass."""
    kept: dict[str, Tensor] = {}
    modules = dict(model.named_modules())
    blocks = [name for name in modules if name.split(".")[-2:-1] == ["blocks"]]
    names = {"embedding": "embedding", "head": "logits"}
    names |= {name: f"block {number}" for number, name in enumerate(blocks[:-1], start=1)} | {blocks[-1]: LAST}

    def keeper(what: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            kept[what] = output.detach().clone()

        return keep

    handles = [modules[name].register_forward_hook(keeper(what)) for name, what in names.items()]
    model(batch)
    for handle in handles:
        handle.remove()
    return kept


def _rms(value: Tensor) -> float:
    return float(value.double().pow(2).mean().sqrt())


class _Pairs:
    """Text of two-token habits: each token is followed by its favourite half of the time, else by a random one.

    Something can be learnt from it at once, and it needs no corpus.
    """

    def __init__(self, config: CheckConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.favourite = np.random.default_rng(0).permutation(config.vocab)

    def at(self, step: int) -> Batch:
        draw = np.random.default_rng([self.seed, step])
        rows = draw.integers(self.config.vocab, size=(self.config.batch, self.config.context + 1))
        habit = draw.random(rows.shape) < 0.5
        for place in range(1, rows.shape[1]):
            rows[:, place] = np.where(habit[:, place], self.favourite[rows[:, place - 1]], rows[:, place])
        tokens = torch.from_numpy(rows)
        return Batch(tokens[:, :-1], tokens[:, 1:])
