"""A study from a plan file: its target is the planned run, as near as a family that differs in width alone allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from isoflop.data import CorpusConfig, TokenizerConfig
from isoflop.errors import UserError
from isoflop.executors import cores
from isoflop.planning import Family, Ladder, plan_ladder
from isoflop.planning.hardware import hardware
from isoflop.planning.plan_file import SCHEMA
from isoflop.shapes import ModelShape, matmul_params
from isoflop.study.config import BudgetConfig, ModelConfig, StudyConfig, TrainConfig

MOST_DAYS = 30.0
"""A study that would take longer on one machine is refused: it was planned for a larger one."""
UTILISATION = 0.4
NEAR_ENOUGH = 0.1
"""A target that is larger than the planned model by more than this share is not the planned run."""
STEPS_OF_SEARCH = 40


class _Train(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    tokens: int
    batch_tokens: int
    weight_decay: float
    clip: float
    warmup_tokens: int
    cooldown_fraction: float
    parametrization: str


class _Data(BaseModel):
    model_config = ConfigDict(extra="ignore")
    corpus: list[str] = []
    tokenizer_vocab: int
    valid_percent: float = 5.0


class _Machine(BaseModel):
    model_config = ConfigDict(extra="ignore")
    device: str


class _PlanFile(BaseModel):
    model_config = ConfigDict(extra="ignore")
    schema_: int
    shape: dict[str, Any]
    train: _Train
    data: _Data
    machine: _Machine


def is_plan(content: dict[str, Any]) -> bool:
    """Whether a TOML file's content is a plan: it names a schema and says what was decided."""
    return "schema" in content and "plan" in content


def config_from_plan(content: dict[str, Any], *, source: str) -> StudyConfig:
    """The study whose target is the run planned in `content`.

    Layers, heads, context, feed-forward, vocabulary, batch and parametrisation are the plan's; the width is its own,
    rounded to the family's step, and the budget pays for it on the planned tokens and for the ladder below it. Raises
    `UserError` for a plan of another schema, for no dense decoder, and for what would take this machine months.
    """
    if content["schema"] != SCHEMA:
        raise UserError(f"{source} is a plan of schema {content['schema']!r}, and this isoflop reads {SCHEMA}.")
    try:
        plan = TypeAdapter(_PlanFile).validate_python({**content, "schema_": SCHEMA})
        shape = ModelShape(**plan.shape)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{source}: {key} won't do in a plan: {first['msg'].lower()}.") from error
    except TypeError as error:
        raise UserError(f"{source}: [shape] is not a model's shape ({error}).") from error
    if shape.stack != "decoder" or shape.experts > 1:
        raise UserError(f"{source} plans another model than a dense decoder, and a study trains those alone.")
    config = _config(plan, shape)
    flops = _budget(config, shape, plan)
    target = plan_ladder(config.ladder, config.family(shape.vocab), flops=flops).target
    if target.params > (1 + NEAR_ENOUGH) * _wanted(shape):
        raise UserError(
            f"{source} plans a model of width {shape.width} with {shape.heads} heads, and {config.ladder.sizes} sizes "
            f"that differ need a target of width {target.shape.width}: plan a larger run, or write a study file "
            "(isoflop study --init)."
        )
    _refuse_what_takes_months(source, flops, plan.machine.device)
    return replace(config, budget=BudgetConfig(flops=flops))


def _config(plan: _PlanFile, shape: ModelShape) -> StudyConfig:
    train, data = plan.train, plan.data
    usual = StudyConfig()
    params = _wanted(shape)
    return StudyConfig(
        corpus=CorpusConfig(paths=tuple(data.corpus) or usual.corpus.paths, valid_percent=data.valid_percent),
        tokenizer=TokenizerConfig(vocab=shape.vocab),
        model=TypeAdapter(ModelConfig).validate_python(
            {
                "layers": shape.layers,
                "heads": shape.heads,
                "context": shape.context,
                "feed_forward": shape.feed_forward,
                "parametrization": train.parametrization,
            }
        ),
        ladder=replace(
            usual.ladder,
            batch=max(1, train.batch_tokens // shape.context),
            tokens_per_param=train.tokens / params,
            cooldown_fraction=train.cooldown_fraction,
        ),
        train=TrainConfig(weight_decay=train.weight_decay, clip=train.clip),
        device="cpu" if plan.machine.device == "cpu" else "cuda",
    )


def _wanted(shape: ModelShape) -> int:
    """N of the plan's own width in the study's family, which has a feed-forward and norms of its own."""
    family = Family(shape.layers, shape.heads, shape.vocab, shape.context, shape.feed_forward)
    return matmul_params(family.at(max(family.step, round(shape.width / family.step) * family.step)))


def _budget(config: StudyConfig, shape: ModelShape, plan: _PlanFile) -> float:
    """The fewest FLOPs whose ladder ends in the planned width: target and ladder together."""
    family = config.family(shape.vocab)
    params = _wanted(shape)

    def ladder(flops: float) -> Ladder | None:
        try:
            return plan_ladder(config.ladder, family, flops=flops)
        except UserError:  # too little for any ladder
            return None

    target = 6.0 * params * plan.train.tokens
    low, high = target, 100.0 * target
    for _ in range(STEPS_OF_SEARCH):
        middle = (low * high) ** 0.5
        found = ladder(middle)
        low, high = (low, middle) if found is not None and found.target.params >= params else (middle, high)
    return high


def _refuse_what_takes_months(source: str, flops: float, device: str) -> None:
    name = hardware(device)
    at_once = cores() if device == "cpu" else 1
    rate = UTILISATION * name.peak_flops(name.usual) * at_once
    days = flops / rate / 86_400
    if days > MOST_DAYS:
        affordable = MOST_DAYS * 86_400 * rate / 10
        raise UserError(
            f"{source} as a study takes {flops:.2g} FLOPs, about {days:,.0f} days on {at_once} x {device}: plan a "
            f"smaller run, such as --flops {affordable:.0e}, and study that."
        )
