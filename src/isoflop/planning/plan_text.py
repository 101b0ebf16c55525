"""A plan as text for people."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from isoflop.fitting.result import Estimate
from isoflop.fitting.status import GOOD
from isoflop.planning.design import LadderDesign
from isoflop.planning.hardware import GIB
from isoflop.planning.hyperparameters import Suggestion
from isoflop.planning.planner import Plan
from isoflop.shapes import count_params, train_flops_per_token

WIDTH = 80
"""Columns of the narrowest usual terminal."""
SHOWN_LAYOUTS = 5
CURVE_POINTS = 6


def plan_text(plan: Plan) -> str:
    """The plan in a page: what is against believing it first, then what to train, on what, for how much."""
    lines = [
        *_status(plan),
        *_allocation(plan),
        *_downstream(plan),
        "",
        *_shape(plan),
        "",
        *_hyperparameters(plan.hyperparameters),
        "",
        *_machine(plan),
    ]
    return "\n".join(_wrapped(line) for line in lines)


def _wrapped(line: str) -> str:
    """On as many lines of `WIDTH` columns as it takes, the further ones set in."""
    margin = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(line, WIDTH, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False)


def ladder_text(design: LadderDesign) -> str:
    """The ladder to buy, run by run, and what each share of the allowance is worth."""
    lines = [
        f"Ladder: {len(design.runs)} runs for {design.flops:.4g} FLOPs; the {design.of} of the target is then expected "
        f"within {design.half_width:.2%} ({design.level:.0%} interval)"
    ]
    lines += [
        f"  {_short(run.params):>7} parameters  {_short(run.tokens):>7} tokens  {run.flops:.3g} FLOPs"
        for run in design.runs
    ]
    spent = [point for point in design.curve if point[0] > 0]
    shown = dict.fromkeys(spent[round(i * (len(spent) - 1) / (CURVE_POINTS - 1))] for i in range(CURVE_POINTS))
    lines.append("  within, against FLOPs spent: " + ", ".join(f"{width:.2%} {flops:.2g}" for flops, width in shown))
    return "\n".join(_wrapped(line) for line in lines)


def _status(plan: Plan) -> Iterator[str]:
    doubts = [one for one in plan.status if one.code not in GOOD]
    if doubts:
        yield "Read first, before you believe the plan:"
        yield from (f"  - {one.code}: {one.message}" for one in doubts)


def _allocation(plan: Plan) -> Iterator[str]:
    one = plan.allocation
    yield f"{plan.source}: {one.asked}"
    yield f"  parameters        {_span(one.params)}"
    yield f"  tokens            {_span(one.tokens)}" + (f", {one.epochs:.2f} epochs" if one.epochs > 1.005 else "")
    yield f"  tokens/parameter  {_span(one.tokens_per_param)}"
    yield f"  loss              {_span(one.loss)} nats per token"
    yield f"  training          {one.flops:.4g} FLOPs (6ND)"
    if one.serve_tokens:
        yield f"  serving           {one.serve_flops:.4g} FLOPs for {one.serve_tokens:.4g} tokens (2ND)"
    if one.flat_bottom is not None:
        low, high = one.flat_bottom
        yield f"  flat bottom       {_short(low)} to {_short(high)} parameters reach this loss with 1 % more training"
    for note in one.notes:
        yield f"  note: {note}"


def _downstream(plan: Plan) -> Iterator[str]:
    found = plan.downstream
    if found is not None:
        yield f"  {found.name:17} {_span(found.value)} {found.unit} ({found.source})"
        yield from (f"  note: {one.message}" for one in found.status)


def _shape(plan: Plan) -> Iterator[str]:
    shape, counts = plan.shape, count_params(plan.shape)
    yield (
        f"Shape: {shape.layers} layers of width {shape.width} (width/layers {shape.width / shape.layers:.0f}), "
        f"{shape.heads} heads of {shape.head_size}, {shape.n_kv_heads} key-value heads, {shape.feed_forward} "
        f"{shape.ffn}, vocabulary {shape.vocab}{' tied' if shape.tied else ''}, context {shape.context}"
    )
    yield (
        f"  {counts.total:,} parameters: body {counts.body:,}, embedding {counts.embedding:,}, head {counts.head:,}; "
        f"{train_flops_per_token(shape):.4g} FLOPs a token with attention"
    )


def _hyperparameters(suggested: tuple[Suggestion, ...]) -> Iterator[str]:
    yield "Hyper-parameters, by each source:"
    for one in suggested:
        number = one.value if isinstance(one.value, str) else f"{one.value:.3g}"
        unit = "" if one.unit in ("", "1") or isinstance(one.value, str) else f" {one.unit}"
        yield f"  {one.name:14} {number}{unit}"
        yield f"    {one.rule} ({one.source})"
        if one.outside:
            yield f"    outside of the range it was fitted on: {one.outside}"


def _machine(plan: Plan) -> Iterator[str]:
    yield f"Layouts on {plan.devices} x {plan.device.name}, fastest first:"
    for one in plan.layouts.choices[:SHOWN_LAYOUTS]:
        used = f"MFU {one.utilisation:5.1%}  {one.memory.total / GIB:5.1f} GiB"
        yield f"  {one.step.total:8.3g} s/step  {used}  {one.layout}"
    refused = len(plan.layouts.refused)
    if refused:
        common = next(iter(plan.layouts.reasons()))
        yield f"  {refused} layouts refused, most for: {common}"
    cost = plan.bill
    energy = "power not published" if cost.kilowatt_hours is None else f"{cost.kilowatt_hours:,.0f} kWh of the boards"
    price = f"${cost.usd_per_hour:g} ({cost.price_source}, {cost.price_read})"
    yield (f"Bill: {cost.days:.3g} days, {cost.device_hours:,.0f} device-hours, ${cost.usd:,.0f} at {price}, {energy}")


def _span(estimate: Estimate) -> str:
    value = _short(estimate.value)
    if math.isnan(estimate.low) or estimate.low == estimate.high:
        return value
    return f"{value} [{_short(estimate.low)}, {_short(estimate.high)}]"


def _short(value: float) -> str:
    """1234567 as 1.23M; below a thousand in four digits."""
    if not math.isfinite(value):
        return "without end"
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.4g}"
