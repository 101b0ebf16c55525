"""`isoflop plan FIT.json|LAW:SET` with one budget."""

from __future__ import annotations

import json
from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    app.command("plan")(plan_run)


def plan_run(
    source: str = typer.Argument(..., help="A fit's JSON file, or a published set such as chinchilla:besiroglu2024."),
    flops: float = typer.Option(None, help="Budget: FLOPs of training (6ND)."),
    gpus: str = typer.Option(None, help="The machine, as in 64xh100; with --days a budget."),
    days: float = typer.Option(None, help="Budget: days on --gpus."),
    usd: float = typer.Option(None, help="Budget: US dollars for devices."),
    usd_per_hour: float = typer.Option(None, help="Price of a device-hour, in place of the dated default."),
    loss: float = typer.Option(None, help="Budget: the cheapest way to this loss, in nats per token."),
    params: float = typer.Option(None, help="A given size; alone: how much data it is best for."),
    tokens_per_param: float = typer.Option(None, help="A given ratio, for a model trained longer than is best."),
    unique_tokens: float = typer.Option(None, help="Data run out here: repeat or stop."),
    serve_tokens: float = typer.Option(0.0, help="Tokens served over the model's life, to be counted in."),
    context: int = typer.Option(None, help="Sequence length in tokens."),
    vocab: int = typer.Option(None, help="Size of the vocabulary."),
    batch_tokens: int = typer.Option(None, help="Tokens of a batch, in place of the published laws'."),
    convention: str = typer.Option("total", help="What the law's N counts: total, body or matmul."),
    fixed: list[str] = typer.Option([], "--set", help="A value for another column of the law, as in bits=8."),
    task: str = typer.Option(None, help="A law of task error by loss: a fit's JSON file, or LAW:SET."),
    from_run: Path = typer.Option(None, help="Folder of a small run whose learning rate is to be carried over."),
    ladder_flops: float = typer.Option(None, help="Also choose the small runs to buy for so many FLOPs."),
    out: Path = typer.Option(None, help="Also write the plan as TOML to this file."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Plan a run: how large, on how much data, in which shape, on which machine, for how long and how much."""
    from isoflop.files import write_text
    from isoflop.planning.plan_file import plan_toml
    from isoflop.planning.plan_text import ladder_text, plan_text
    from isoflop.planning.planner import plan

    made = plan(
        source,
        flops=flops,
        gpus=gpus,
        days=days,
        usd=usd,
        usd_per_hour=usd_per_hour,
        loss=loss,
        params=params,
        tokens_per_param=tokens_per_param,
        unique_tokens=unique_tokens,
        serve_tokens=serve_tokens,
        context=context,
        vocab=vocab,
        batch_tokens=batch_tokens,
        convention=_convention(convention),
        fixed=dict(_pair(text) for text in fixed),
        task=task,
        from_run=from_run,
    )
    if out is not None:
        write_text(out, plan_toml(made))
    ladder = None
    if ladder_flops is not None:
        from isoflop.planning.design import design_ladder

        chosen = made.allocation
        ladder = design_ladder(
            source, allowance=ladder_flops, target_params=chosen.params.value, target_tokens=chosen.tokens.value
        )
    if as_json:
        record = made.to_dict() | ({} if ladder is None else {"ladder": ladder.to_dict()})
        print(json.dumps(record, indent=2, allow_nan=False))
    else:
        print(plan_text(made) + ("" if ladder is None else "\n\n" + ladder_text(ladder)))


def _convention(text: str):  # type: ignore[no-untyped-def]
    from isoflop.errors import UserError

    if text not in ("total", "body", "matmul"):
        raise UserError(f"--convention is {text!r}: choose total, body or matmul.")
    return text


def _pair(text: str) -> tuple[str, float | str]:
    from isoflop.errors import UserError

    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name and equals and value):
        raise UserError(f"--set {text!r} is no pair of column and value: write it as in bits=8.")
    try:
        return name, float(value)
    except ValueError:
        return name, value
