"""A study is a file: what it may say, how it is read, and the commented one that `--init` writes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from isoflop.data import CorpusConfig, TokenizerConfig
from isoflop.errors import UserError
from isoflop.executors import Resources
from isoflop.planning import Family, LadderConfig
from isoflop.settings import read_toml, settings_of
from isoflop.shapes import FeedForward

PRETRAIN, FINETUNE = "pretrain", "finetune"
"""What a study's runs do; the first where its file says nothing."""


@dataclass(frozen=True)
class ModelConfig:
    """The family of models: its members differ in width alone (see `planning.Family`)."""

    layers: int = 3
    heads: int = 2
    context: int = 32
    feed_forward: FeedForward = "swiglu"
    parametrization: Literal["sp", "mup", "u-mup", "completep"] = "u-mup"


@dataclass(frozen=True)
class TrainConfig:
    """How every run trains. All runs warm up for `warmup_share` of the shortest one, and are measured on the same
    `valid_sequences`.

    A warm-up that is long against the shortest runs biases their loss (Porian et al. 2024, arXiv 2406.19146), hence a
    share of those and not a number of steps.
    """

    warmup_share: float = 0.05
    weight_decay: float = 0.0
    clip: float = 1.0
    valid_sequences: int = 4096

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_share < 1:
            raise UserError(f"train.warmup_share must be at least 0 and below 1, not {self.warmup_share}.")
        if self.valid_sequences < 2:
            raise UserError("train.valid_sequences must be at least 2.")
        if not self.weight_decay >= 0:
            raise UserError(f"train.weight_decay must be at least 0, not {self.weight_decay}.")
        if not self.clip > 0:
            raise UserError(f"train.clip must be above 0, not {self.clip}.")


@dataclass(frozen=True)
class BudgetConfig:
    """What the study may cost: `flops` (6ND, all runs), or `minutes` on this machine, or `usd` at `usd_per_hour`."""

    flops: float | None = None
    minutes: float | None = None
    usd: float | None = None
    usd_per_hour: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("flops", "minutes", "usd") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UserError(f"budget: {' and '.join(given)} are both given; choose one.")
        for name in (*given, *(["usd_per_hour"] if self.usd_per_hour is not None else [])):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"budget.{name} must be above 0 and finite, not {getattr(self, name)}.")
        if (self.usd is None) != (self.usd_per_hour is None):
            raise UserError("budget.usd needs budget.usd_per_hour, the price of this machine, and the other way round.")


DEFAULT_FLOPS = 1.1e13
"""About five minutes on two cores (docs/log.md)."""


@dataclass(frozen=True)
class StudyConfig:
    """A whole study: text, tokenizer, family of models, ladder, training, budget, seed and device."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    ladder: LadderConfig = field(default_factory=LadderConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    machines: Resources = field(default_factory=Resources)
    seed: int = 0
    device: Literal["cpu", "cuda"] = "cpu"

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"seed must be at least 0, not {self.seed}.")

    def family(self, vocab: int) -> Family:
        """The family of models for a tokenizer of `vocab` entries."""
        model = self.model
        return Family(model.layers, model.heads, vocab, model.context, model.feed_forward)


def read_config(path: Path) -> StudyConfig:
    """Read a study file, or a plan (`isoflop plan --out`) whose run then is the study's target.

    Raises `UserError` that names the key for anything unknown or of the wrong type.
    """
    content = read_toml(path, what="study file")
    if content.pop("kind", PRETRAIN) != PRETRAIN:
        raise UserError(f"{path} is no study of pretraining: its kind is another.")
    from isoflop.study.planned import config_from_plan, is_plan  # which needs this module's types

    return (config_from_plan if is_plan(content) else config_from_dict)(content, source=str(path))


def kind_of(path: Path) -> Literal["pretrain", "finetune"]:
    """What the runs of the study file `path` do. Raises `UserError` where its `kind` is unknown."""
    kind = read_toml(path, what="study file").get("kind", PRETRAIN)
    if kind not in (PRETRAIN, FINETUNE):
        raise UserError(f"{path}: kind is {kind!r}: choose {PRETRAIN} or {FINETUNE}.")
    return "finetune" if kind == FINETUNE else "pretrain"


def config_from_dict(content: dict[str, Any], *, source: str) -> StudyConfig:
    """Check `content`, as it stands in a study file called `source`, and make it a `StudyConfig`."""
    return settings_of(StudyConfig, content, source=source)


TEMPLATE = """# A study: train a ladder of small models, fit the law, predict a bigger one, train it, compare.
# Every value below is the default; leave out what you don't change. Run it with `isoflop study FILE --out DIR`.

seed = {config.seed}
device = "{config.device}"            # "cpu" or "cuda"

[corpus]
paths = ["stdlib"]        # files, folders, globs (.txt .py .jsonl .parquet .gz ...), or "stdlib": Python's own source
# column = "text"         # the text column of Parquet and JSONL files, or of the data set
# mixture = [{{ paths = ["a"], weight = 0.7 }}, {{ paths = ["b"], weight = 0.3 }}]  # shares of tokens, for paths
# dataset = "NAME"        # a Hugging Face data set instead of paths (needs the package `datasets`)
valid_percent = {config.corpus.valid_percent}       # share of the documents that is kept aside for the validation loss

[tokenizer]
vocab = {config.tokenizer.vocab}               # a byte-level BPE, trained on the training side
train_bytes = {config.tokenizer.train_bytes}     # ... on at most this much of it

[budget]                  # one of flops, minutes, usd
flops = {flops:.3g}           # 6ND over the whole study: sweep, rungs and target
# minutes = 20            # on this machine, whose speed is measured first
# usd = 5.0
# usd_per_hour = 0.40

[model]                   # the family; its members differ in width alone
layers = {config.model.layers}
heads = {config.model.heads}
context = {config.model.context}             # tokens in a sequence
feed_forward = "{config.model.feed_forward}"   # swiglu, gelu, relu or relu2
parametrization = "{config.model.parametrization}" # u-mup, mup, completep, sp: how the tuned rate carries over

[ladder]
sizes = {config.ladder.sizes}                 # model sizes below the target
budgets = {config.ladder.budgets}               # token budgets for each size, from one trunk with cool-downs
tokens_per_param = {config.ladder.tokens_per_param}   # the target's tokens over its parameters
batch = {config.ladder.batch}                # sequences in a step
rates = {rates}   # learning rates tried at the smallest size
sweep_share = {config.ladder.sweep_share}        # ... for this share of its longest run
replicates = {config.ladder.replicates}            # seeds of each rung: the noise floor
target_replicates = {config.ladder.target_replicates}     # seeds of the target, whose mean loss is "measured"
cooldown_fraction = {config.ladder.cooldown_fraction}   # the last part of each run, where the rate decays to zero

[machines]                # what each run gets, on this machine or with --on ray or --on slurm
cpus = {config.machines.cpus}
gpus = {config.machines.gpus}
# memory_gb = 16          # for SLURM, as the rest
minutes = {config.machines.minutes}
at_once = {config.machines.at_once}              # jobs that run at a time
# sbatch = {{ partition = "NAME", account = "NAME" }}

[train]
warmup_share = {config.train.warmup_share}       # of the shortest run; every run warms up for as many steps
weight_decay = {config.train.weight_decay}        # independent: the share of a matrix that each step takes away
clip = {config.train.clip}                # largest gradient norm
valid_sequences = {config.train.valid_sequences}    # validation sequences, the same for every run
"""


def study_template() -> str:
    """The text of a commented study file that holds the defaults."""
    config = StudyConfig()
    return TEMPLATE.format(config=config, flops=DEFAULT_FLOPS, rates=list(config.ladder.rates))
