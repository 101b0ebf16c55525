"""What a study of fine-tunings may say: pretrained models, a table of labels, methods, subsets, recipe, prices."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from isoflop.adaptation import Machine, Recipe, method_named
from isoflop.errors import UserError
from isoflop.executors import Resources
from isoflop.settings import settings_of


@dataclass(frozen=True)
class TableConfig:
    """Files with a text and its label in each row; the columns are guessed where they are not named."""

    train: str
    dev: str = ""
    test: str = ""
    text: str | None = None
    label: str | None = None

    @property
    def judged(self) -> Literal["dev", "test"]:
        """The part whose error the laws are fitted to: test where there is one."""
        return "test" if self.test else "dev"


@dataclass(frozen=True)
class AxesConfig:
    """What is varied: folders of pretrained `models`, `methods`, numbers of `labels`, `seeds` of subset and training.

    Without `labels`: `sizes` of them, each half of the next, the largest being the whole table.
    """

    models: tuple[str, ...]
    methods: tuple[str, ...] = ("full", "head", "lora")
    labels: tuple[int, ...] = ()
    sizes: int = 6
    seeds: int = 3

    def __post_init__(self) -> None:
        if not self.models or not self.methods:
            raise UserError("axes.models and axes.methods must each name at least one.")
        for name in ("models", "methods", "labels"):
            given = getattr(self, name)
            twice = next((one for one in given if given.count(one) > 1), None)
            if twice is not None:
                raise UserError(f"axes.{name} has {twice!r} twice: keep one.")
        for method in self.methods:
            method_named(method)
        if self.sizes < 4 or 0 < len(self.labels) < 4:
            raise UserError("A law of labels needs four sizes or more: three to be fitted to, and one to be predicted.")
        if self.seeds < 1:
            raise UserError(f"axes.seeds must be at least 1, not {self.seeds}.")


@dataclass(frozen=True)
class RecipeConfig:
    """How every cell trains, whatever its method. `learning_rate` by method; the methods' own where it says none.

    A subset is seen `epochs` times, and more often where that makes fewer than `least_steps` steps.
    """

    batch: int = 32
    epochs: int = 3
    least_steps: int = 100
    max_length: int | None = None
    rank: int | None = None
    learning_rate: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.batch, self.epochs) < 1 or self.least_steps < 0:
            raise UserError("recipe.batch and recipe.epochs must be at least 1, and recipe.least_steps at least 0.")
        for method in self.learning_rate:
            method_named(method)

    def recipe(self, method: str, *, labels: int, seed: int) -> Recipe:
        """The recipe of a cell."""
        steps = math.ceil(labels / self.batch)
        return Recipe(
            method=method_named(method, rank=self.rank if method == "lora" else None),
            learning_rate=self.learning_rate.get(method),
            batch=self.batch,
            epochs=max(self.epochs, math.ceil(self.least_steps / steps)),
            longest=self.max_length,
            seed=seed,
        )


@dataclass(frozen=True)
class PriceConfig:
    """What a label costs, and an hour of the machine on which the models were pretrained."""

    usd_per_label: float | None = None
    usd_per_hour: float | None = None

    def __post_init__(self) -> None:
        for name in ("usd_per_label", "usd_per_hour"):
            given = getattr(self, name)
            if given is not None and not 0 < given < math.inf:
                raise UserError(f"prices.{name} must be above 0 and finite, not {given}.")
        if (self.usd_per_label is None) != (self.usd_per_hour is None):
            raise UserError("prices.usd_per_label and prices.usd_per_hour are compared: give both, or none.")


@dataclass(frozen=True)
class FinetuneStudyConfig:
    """A whole study of fine-tunings."""

    data: TableConfig
    axes: AxesConfig
    kind: Literal["finetune"] = "finetune"
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    prices: PriceConfig = field(default_factory=PriceConfig)
    machines: Resources = field(default_factory=Resources)
    seed: int = 0
    device: str = "cpu"

    @property
    def machine(self) -> Machine:
        """Where a cell is computed."""
        return Machine(self.machines.cpus, self.device)


def finetune_config(content: dict[str, Any], *, path: Path) -> FinetuneStudyConfig:
    """Check the `content` of the study file `path`; files that it names are looked for from its own folder.

    Raises `UserError` that names the key for anything unknown, missing or impossible.
    """
    config = settings_of(FinetuneStudyConfig, content, source=str(path))
    where = path.resolve().parent
    data, axes = config.data, config.axes
    files = {name: str(where / given) for name in ("train", "dev", "test") if (given := getattr(data, name))}
    models = tuple(str((where / one).resolve()) for one in axes.models)
    return replace(config, data=replace(data, **files), axes=replace(axes, models=models))


TEMPLATE = """# A study of fine-tunings: accuracy against labels, the law, what the next point costs.
# Run it with `isoflop study FILE --out DIR`. What is commented out has a default; files are looked for from here.

kind = "finetune"
seed = {config.seed}
device = "{config.device}"

[data]                    # CSV, TSV, JSON lines or Parquet with a text and a label in each row
train = "train.csv"
dev = "dev.csv"
test = "test.csv"         # laws are of the error on test (on dev, where there is no test)
# text = "sentence"       # the columns, where their names can't be guessed
# label = "sentiment"

[axes]
models = ["trained"]      # folders of isoflop train or of Hugging Face; three or more tell what pretraining is worth
methods = {methods}
sizes = {axes.sizes}                 # numbers of labels, each half of the next, the largest being all of train ...
# labels = [100, 200, 400, 800]   # ... or these
seeds = {axes.seeds}                 # of subset and training

[recipe]
batch = {recipe.batch}
epochs = {recipe.epochs}
least_steps = {recipe.least_steps}         # small subsets are seen more often than `epochs` times
# max_length = 128        # tokens
# rank = 8                # of LoRA
# learning_rate = {{ full = 2e-5, head = 1e-3, lora = 5e-4 }}

[prices]                  # both or none
# usd_per_label = 0.05
# usd_per_hour = 2.0      # of the machine that the models were pretrained on

[machines]                # what each fine-tuning gets, on this machine or with --on ray or --on slurm
cpus = {config.machines.cpus}
gpus = {config.machines.gpus}
"""


def finetune_template() -> str:
    """The text of a commented study file that holds the defaults."""
    config = FinetuneStudyConfig(TableConfig("train.csv"), AxesConfig(("trained",)))
    methods = f"[{', '.join(f'{name!r}' for name in config.axes.methods)}]".replace("'", '"')
    return TEMPLATE.format(config=config, axes=config.axes, recipe=config.recipe, methods=methods)
