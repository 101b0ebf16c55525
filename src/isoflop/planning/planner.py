"""`plan`: from a fitted law and a budget to a run that can be launched."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isoflop.errors import UserError
from isoflop.fitting.result import LEVEL, Fit
from isoflop.fitting.status import Status
from isoflop.planning.allocation import Allocation, allocate
from isoflop.planning.basis import Basis, basis_of
from isoflop.planning.bill import SECONDS_PER_DAY, SECONDS_PER_HOUR, Bill, bill
from isoflop.planning.hardware import Hardware, parse_devices
from isoflop.planning.hyperparameters import Suggestion, batch_for_machine, hyperparameters
from isoflop.planning.layout_search import Layouts, layouts
from isoflop.planning.sizing import Convention, shape_for
from isoflop.planning.tasks import Downstream, Task, downstream, task_of
from isoflop.planning.transfer import Transferred, transferred
from isoflop.shapes import ModelShape, count_params, matmul_params, train_flops_per_token

FIRST_GUESS_OF_UTILISATION = 0.4
ROUNDS, SETTLED = 5, 0.01
"""Of the loop devices x days -> FLOPs -> shape -> utilisation -> FLOPs, at most, and how near is near enough."""
TOKENS_PER_DEVICE = 2048
"""At most so many devices are taken by default that each has this many tokens of a batch."""
ROOMY_BYTES_PER_PARAM = 20
"""Memory that the devices taken by default have at least: 16 of state and some for activations."""
DAYS_BY_DEFAULT = 30.0
FEW_DEVICES = 8
USUAL_ADAM = {"beta1": 0.9, "beta2": 0.95, "eps": 1e-8}
"""Brown et al. 2020, arXiv 2005.14165, appendix B."""


@dataclass(frozen=True)
class Plan:
    """A run to launch: allocation, shape, hyper-parameters, layouts on the devices asked for, and what it costs.

    `status` is what the fit says against itself and is to be read first. `bill` is for the first of `layouts`. `base`
    is the shape at which the learning rate was tuned, where `parametrization` carries it over from there.
    """

    source: str
    status: tuple[Status, ...]
    allocation: Allocation
    shape: ModelShape
    convention: Convention
    hyperparameters: tuple[Suggestion, ...]
    parametrization: str
    base: ModelShape | None
    adam: Mapping[str, float]
    downstream: Downstream | None
    device: Hardware
    devices: int
    layouts: Layouts
    bill: Bill

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `params`, `tokens`, `loss` and `tokens_per_param` stand at the top."""
        counts = count_params(self.shape)
        exact = train_flops_per_token(self.shape) * self.allocation.tokens.value
        return {
            "source": self.source,
            "status": [vars(one) for one in self.status],
            **self.allocation.to_dict(),
            "shape": {
                **self.shape.to_dict(),
                "convention": self.convention,
                "param_counts": {"body": counts.body, "embedding": counts.embedding, "head": counts.head,
                                 "total": counts.total, "matmul": matmul_params(self.shape)},
                "flops_per_token": train_flops_per_token(self.shape),
                "flops_exact": exact,
            },
            "hyperparameters": [vars(one) for one in self.hyperparameters],
            "parametrization": self.parametrization,
            **({} if self.downstream is None else {"downstream": self.downstream.to_dict()}),
            "devices": {"name": self.device.name, "count": self.devices, "source": self.device.source},
            "layouts": [one.to_dict() for one in self.layouts.choices],
            "layouts_refused": self.layouts.reasons(),
            "bill": self.bill.to_dict(),
        }  # fmt: skip


def plan(
    source: Fit | Basis | str | Path,
    *,
    gpus: str | None = None,
    days: float | None = None,
    usd: float | None = None,
    usd_per_hour: float | None = None,
    convention: Convention = "total",
    context: int | None = None,
    vocab: int | None = None,
    batch_tokens: int | None = None,
    fixed: Mapping[str, Any] | None = None,
    task: Fit | str | Path | None = None,
    from_run: Path | None = None,
    level: float = LEVEL,
    **budget: Any,
) -> Plan:
    """A run from a law and one budget: FLOPs, devices and days, dollars, a loss, a size, or unique tokens.

    `gpus` is written as in 64xh100; with `days` or `usd` it is the budget, else the machine to plan for (by default as
    many H100 as finish in 30 days). `budget` goes to `allocate`: flops, loss, params, unique_tokens, serve_tokens,
    tokens_per_param. `convention` says which parameters the law's N counts. `task` is a law of
    task error or accuracy by loss (a fit or a published set), `from_run` the folder of a small run whose learning rate
    is carried over by its parametrisation. Raises `UserError` for a budget that makes
    no run, and where no layout fits.
    """
    basis = basis_of(source, fixed=fixed)
    _check_positive(context=context, vocab=vocab, batch_tokens=batch_tokens, usd_per_hour=usd_per_hour)
    budget = {name: value for name, value in budget.items() if value is not None}
    carried = None if from_run is None else transferred(Path(from_run))
    task_law = None if task is None else task_of(task)
    wanted = _Wanted(basis, convention, context, vocab, batch_tokens, level, task_law, carried)
    count, device = parse_devices(gpus) if gpus else (None, parse_devices("h100")[1])
    if usd_per_hour is not None:
        device = replace(device, price=replace(device.price, usd_per_hour=usd_per_hour, read="given", source="you"))
    if days is None and usd is None:
        if gpus and not budget.keys() - {"serve_tokens"}:
            raise UserError(f"How long, or for how much, is {gpus} to be used? Add days, usd, or another budget.")
        return wanted.plan(allocate(basis, level=level, **budget), device, count)
    _check_machine_budget(days, usd, count, budget)
    return wanted.within(device, count, days=days, usd=usd, budget=budget)


@dataclass(frozen=True)
class _Wanted:
    basis: Basis
    convention: Convention
    context: int | None
    vocab: int | None
    batch_tokens: int | None
    level: float
    task: Task | None = None
    carried: Transferred | None = None

    def plan(self, allocation: Allocation, device: Hardware, count: int | None) -> Plan:
        params, tokens = allocation.params.value, allocation.tokens.value
        context = self.context or default_context(params)
        if tokens < context:
            raise UserError(
                f"{tokens:.4g} tokens are less than one sequence of {context:,}: choose a larger budget or a shorter "
                "context."
            )
        shape = shape_for(
            params, convention=self.convention, context=context, vocab=self.vocab, may_tie=self.carried is None
        )
        suggested = self._suggested(shape, allocation)
        batch = self.batch_tokens or _whole_batch(batch_for_machine(suggested, context), context, count)
        batch = batch if self.batch_tokens else min(batch, int(tokens) // context * context)
        if batch > tokens:
            raise UserError(f"{tokens:.4g} tokens are less than one batch of {batch:,}: choose a smaller batch.")
        n = count or _devices_by_default(shape, tokens, batch, device)
        found = layouts(shape, device, n, batch_tokens=batch)
        return Plan(
            source=self.basis.name,
            status=(*self.basis.status, *allocation.status),
            allocation=_doubted(allocation, shape),
            shape=shape,
            convention=self.convention,
            hyperparameters=suggested,
            parametrization=self.carried.parametrization if self.carried else "sp",
            base=self.carried.base if self.carried else None,
            adam=self.carried.adam if self.carried else USUAL_ADAM,
            downstream=self._downstream(allocation),
            device=device,
            devices=n,
            layouts=found,
            bill=bill(found.choices[0], tokens, device),
        )

    def within(
        self, device: Hardware, count: int | None, *, days: float | None, usd: float | None, budget: Mapping[str, Any]
    ) -> Plan:
        """The plan that uses up device-hours, or dollars, at the utilisation of its own best layout."""
        hours = None if count is None or days is None else count * days * 24
        if usd is not None:
            paid = usd / device.price.usd_per_hour
            hours = paid if hours is None else min(hours, paid)
        assert hours is not None
        seconds = hours * SECONDS_PER_HOUR
        made = self._nearest(seconds, device, count, budget)
        share = seconds / (made.bill.device_hours * SECONDS_PER_HOUR)
        flops = made.allocation.flops
        if abs(math.log(share)) < SETTLED:
            return self._with(made, allocate(self.basis, flops=flops, level=self.level, **budget))
        if {"tokens_per_param", "unique_tokens"} & budget.keys():
            note = (
                f"The run takes {1 / share - 1:+.1%} against the time paid for: no nearer budget keeps what was given."
            )
            allocation = allocate(self.basis, flops=flops, level=self.level, **budget)
        else:
            note = (
                "Size, batch and layout are held, and the tokens are what they train on in the time paid for: "
                f"{share - 1:+.1%} against the best split, which would be laid out in another way."
            )
            kept = {**budget, "params": made.allocation.params.value}
            allocation = allocate(self.basis, flops=flops * share, level=self.level, **kept)
        return self._with(made, replace(allocation, notes=(*allocation.notes, note)))

    def _nearest(self, seconds: float, device: Hardware, count: int | None, budget: Mapping[str, Any]) -> Plan:
        """The plan, without intervals, whose device-seconds come nearest to `seconds` after some rounds."""
        quick = replace(self, basis=replace(self.basis, draws=None, fit=None), task=None)
        flops = seconds * device.peak_flops(device.usual) * FIRST_GUESS_OF_UTILISATION
        best: tuple[float, Plan] | None = None
        for round_ in range(ROUNDS):
            made = quick.plan(allocate(quick.basis, flops=flops, level=self.level, **budget), device, count)
            taken = made.bill.device_hours * SECONDS_PER_HOUR
            off = abs(math.log(taken / seconds))
            if best is None or off < best[0]:
                best = (off, made)
            if off < SETTLED:
                break
            # A small change may tip the choice of layout, so later rounds go half the way.
            flops *= (seconds / taken) ** (1.0 if round_ < 2 else 0.5)
        assert best is not None
        return best[1]

    def _with(self, made: Plan, allocation: Allocation) -> Plan:
        """The same shape on the same layout with another allocation."""
        tokens = allocation.tokens.value
        return replace(
            made,
            allocation=_doubted(allocation, made.shape),
            status=(*self.basis.status, *allocation.status),
            hyperparameters=self._suggested(made.shape, allocation),
            downstream=self._downstream(allocation),
            bill=bill(made.layouts.choices[0], tokens, made.device),
        )

    def _suggested(self, shape: ModelShape, allocation: Allocation) -> tuple[Suggestion, ...]:
        laws = hyperparameters(shape, allocation.tokens.value, loss=allocation.loss.value)
        return (*(self.carried.suggestions if self.carried else ()), *laws)

    def _downstream(self, allocation: Allocation) -> Downstream | None:
        return None if self.task is None else downstream(self.task, self.basis, allocation, level=self.level)


def _doubted(allocation: Allocation, shape: ModelShape) -> Allocation:
    """With a note where the law predicts more than a model that guesses every entry alike would measure."""
    even = math.log(shape.vocab)
    if allocation.loss.value <= even:
        return allocation
    note = (
        f"Guessing each of {shape.vocab:,} entries alike has a loss of {even:.2f} nats, below what the law predicts: "
        "so far below its runs it says nothing, and neither the loss nor the split is to be believed."
    )
    return replace(allocation, notes=(*allocation.notes, note))


def default_context(params: float) -> int:
    """Tokens of a sequence where nothing is given: 8192 from 2e9 parameters on, 2048 from 1e8, 512 from 1e6, or 128."""
    return 8192 if params >= 2e9 else 2048 if params >= 1e8 else 512 if params >= 1e6 else 128


def _whole_batch(tokens: int, context: int, devices: int | None) -> int:
    """A batch of which each of a few devices gets as many whole sequences; many devices share sequences as well."""
    few = context * (devices if devices is not None and devices <= FEW_DEVICES else 1)
    return max(1, round(tokens / few)) * few


def _devices_by_default(shape: ModelShape, tokens: float, batch: int, device: Hardware) -> int:
    """A power of two that holds the model and finishes in a month, as far as the batch feeds so many."""
    flops = train_flops_per_token(shape) * tokens
    rate = FIRST_GUESS_OF_UTILISATION * device.peak_flops(device.usual)
    quick = flops / (rate * DAYS_BY_DEFAULT * SECONDS_PER_DAY)
    fed = batch / TOKENS_PER_DEVICE
    holds = ROOMY_BYTES_PER_PARAM * count_params(shape).total / device.memory
    return int(2 ** max(0, math.ceil(math.log2(max(min(quick, fed), holds)))))


def _check_machine_budget(days: float | None, usd: float | None, count: int | None, budget: Mapping[str, Any]) -> None:
    clash = sorted({"flops", "loss"} & budget.keys())
    if clash:
        raise UserError(f"Days and dollars already are a budget: leave out {' and '.join(clash)}.")
    if days is not None and count is None:
        raise UserError("Days need devices: add gpus, as in 64xh100.")
    _check_positive(days=days, usd=usd)


def _check_positive(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"{name} is {value:g}: it must be a positive number.")
