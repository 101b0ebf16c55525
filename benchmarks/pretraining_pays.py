"""What pretraining on a processor is worth: an encoder pretrained for 0 to 20 minutes, then fine-tuned on sst2.

    python benchmarks/pretraining_pays.py OUT [--tokens 12e6] [--threads 2] [--figure docs/pretraining_pays.svg]

Needs ISOFLOP_DATA (novels_en, sst2). The encoder (4 layers × 192, masked tokens, u-μP) is pretrained on novels_en by
runs of 1/20, 1/8, 1/4, 1/2 and 1 of `--tokens`, each with its own schedule, and is taken untrained too. The
pretraining's rate is the one of `--rates` with the lowest loss of masked tokens after the shortest run, moved to
longer ones as a study does. Fine-tuning trains all weights; its rate is chosen on dev, for the untrained model and
for the one pretrained longest (which stands for the others), and only then test is looked at: three seeds at both
ends, one between. Interrupt it as you like: the same command goes on. Exit code 1 where the longest pretraining gains
less than 5 points of test accuracy over none.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from isoflop.adaptation import EpochEnded, Machine, Recipe, Result, finetune, read_split
from isoflop.data import with_special_tokens
from isoflop.files import write_json, write_text
from isoflop.models import build_model, parametrization, save_model
from isoflop.runs import Run
from isoflop.shapes import ModelShape
from isoflop.study.jobs import HORIZON_POWER
from isoflop.training import Progress, pretrain
from isoflop.training.plan import DataSettings, Plan, TrainSettings
from isoflop.training.text import read_text

DATA = Path(os.environ.get("ISOFLOP_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "text"
SHAPE = ModelShape(4, 192, 3, 4100, 128, 512, norm="plain", stack="encoder")
SHARES = (0.05, 0.125, 0.25, 0.5, 1.0)
BATCH_TOKENS, WARMUP = 2048, 0.05
PRETRAINING_RATES = (0.5, 1.0, 2.0, 4.0)
RATES = (1e-4, 3e-4, 1e-3)
SEEDS = (0, 1, 2)
GAIN = 0.05


def plan_of(tokens: int, rate: float) -> Plan:
    """The pretraining on so many tokens: a warm-up, a constant rate, a fifth to cool down."""
    train = TrainSettings(
        tokens=tokens,
        batch_tokens=BATCH_TOKENS,
        learning_rate=rate,
        warmup_tokens=round(WARMUP * tokens),
        objective="masked",
        evaluations=4,
        checkpoint_minutes=0.5,
    )
    return Plan(SHAPE, train, data=DataSettings(corpus=(str(DATA / "novels_en" / "train.txt.gz"),)))


@dataclass(frozen=True)
class Pretrained:
    """A model on disk, the tokens, FLOPs (6ND) and seconds that it took, and the loss that it came to."""

    folder: Path
    tokens: int
    flops: float
    seconds: float
    loss: float | None


def untrained(folder: Path, plan: Plan) -> Pretrained:
    """The first weights of the pretraining, with its tokenizer."""
    if not (folder / "model.json").exists():
        model, _ = build_model(SHAPE, parametrization(plan.train.parametrization), base=SHAPE, seed=plan.train.seed)
        tokenizer = folder.with_name("tokenizer.json")
        write_text(tokenizer, with_special_tokens(read_text(plan).data.tokenizer(), plan.special_tokens).to_str())
        named = plan.train.parametrization
        save_model(folder, model, parametrization=named, base=SHAPE, objective="masked", tokenizer=tokenizer)
    return Pretrained(folder, 0, 0.0, 0.0, None)


def pretrained(folder: Path, plan: Plan, threads: int) -> Pretrained:
    """Pretrain, or go on, or find it done."""
    told = 0
    for event in pretrain(plan, folder, threads=threads):
        if isinstance(event, Progress) and event.done * 10 // event.total > told:
            told = event.done * 10 // event.total
            print(
                f"  {folder.name}: {told * 10} %, loss {event.loss:.3f}, {event.tokens_per_second:,.0f} tokens/s",
                flush=True,
            )
        if isinstance(event, Run):
            run = event
    return Pretrained(folder / "model", run.tokens, run.flops, run.seconds, run.loss)


@dataclass(frozen=True)
class Bench:
    """Where everything goes, and how it is fine-tuned."""

    out: Path
    machine: Machine
    recipe: Recipe

    def finetuned(self, model: Pretrained, rate: float, seed: int) -> Result:
        """Fine-tune on sst2, or find it done."""
        name = model.folder.parent.name if model.folder.name == "model" else model.folder.name
        out = self.out / "finetuned" / f"{name}-lr{rate:g}-s{seed}"
        recipe = replace(self.recipe, learning_rate=rate, seed=seed)
        table = DATA / "sst2"
        split = read_split(table / "train.csv", dev=table / "dev.csv", test=table / "test.csv")
        for event in finetune(model.folder, split, out=out, recipe=recipe, machine=self.machine):
            if isinstance(event, EpochEnded):
                print(f"  {out.name}: epoch {event.epoch}, dev {event.scores.figures['accuracy']:.4f}", flush=True)
            if isinstance(event, Result):
                return event
        raise RuntimeError(f"{out} diverged")

    def best_rate(self, model: Pretrained) -> float:
        """The rate that does best on dev."""
        return max(RATES, key=lambda rate: self.finetuned(model, rate, SEEDS[0]).scores["dev"].accuracy)


@dataclass(frozen=True)
class Point:
    """A point of the curve: test accuracies by seed."""

    tokens: int
    flops: float
    seconds: float
    loss: float | None
    rate: float
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.accuracies) / len(self.accuracies)


def curve(bench: Bench, models: Sequence[Pretrained]) -> tuple[list[Point], float]:
    """The test accuracy of each model, and the floor's."""
    first, *_, last = models
    rates = {id(first): bench.best_rate(first)}
    usual = bench.best_rate(last)
    points, floor = [], float("nan")
    for model in models:
        rate = rates.get(id(model), usual)
        results = [bench.finetuned(model, rate, seed) for seed in (SEEDS if model in (first, last) else SEEDS[:1])]
        floor = results[0].floor.scores["test"].accuracy if results[0].floor else floor
        found = tuple(one.scores["test"].accuracy for one in results)
        points.append(Point(model.tokens, model.flops, model.seconds, model.loss, rate, found))
    return points, floor


def say(points: Sequence[Point], floor: float) -> None:
    """Print the curve."""
    print(f"{'tokens':>12} {'FLOPs':>9} {'minutes':>8} {'loss':>7} {'rate':>7} {'test accuracy':>14} {'seeds':>6}")
    for one in points:
        loss = "" if one.loss is None else f"{one.loss:.3f}"
        row = f"{one.tokens:>12,} {one.flops:>9.2g} {one.seconds / 60:>8.1f} {loss:>7} {one.rate:>7g} {one.mean:>14.4f}"
        print(f"{row} {len(one.accuracies):>6}")
    print(f"{'floor':>12} {floor:>53.4f}")


def draw(points: Sequence[Point], floor: float, path: Path) -> None:
    """The curve as a picture; the untrained model stands at the left edge, its axis broken."""
    import matplotlib
    from matplotlib.figure import Figure

    from isoflop.report.palette import LIGHT
    from isoflop.report.picture import STYLE

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        trained = [one for one in points if one.flops]
        left = trained[0].flops / 3
        colour = LIGHT["size-5"]
        axes.axhline(floor, color=LIGHT["quiet"], linewidth=1.2, linestyle="--")
        axes.annotate(f"TF-IDF + logistic regression {floor:.3f}", (left, floor), (0, 4), textcoords="offset points")
        axes.plot([one.flops for one in trained], [one.mean for one in trained], color=colour)
        for one in points:
            axes.scatter([one.flops or left] * len(one.accuracies), one.accuracies, color=colour, s=30, zorder=3)
        axes.axhline(points[0].mean, color=colour, linewidth=0.8, linestyle=":")
        axes.annotate(f"untrained {points[0].mean:.3f}", (left, points[0].mean), (6, 5), textcoords="offset points")
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xlabel("pretraining compute C = 6ND, FLOPs")
        axes.set_ylabel("sst2 test accuracy after fine-tuning")
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> int:
    """Pretrain, fine-tune, print, draw."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("out", type=Path)
    asked.add_argument("--tokens", type=float, default=12e6)
    asked.add_argument("--rates", type=float, nargs="+", default=PRETRAINING_RATES)
    asked.add_argument("--epochs", type=int, default=3)
    asked.add_argument("--threads", type=int, default=2)
    asked.add_argument("--shares", type=float, nargs="+", default=SHARES)
    asked.add_argument("--figure", type=Path)
    options = asked.parse_args()
    out, threads, shortest = options.out, options.threads, round(min(options.shares) * options.tokens)
    swept = {rate: pretrained(out / f"rate-{rate:g}", plan_of(shortest, rate), threads) for rate in options.rates}
    best = min(swept, key=lambda rate: swept[rate].loss or math.inf)
    models = [untrained(out / "untrained", plan_of(shortest, best)), swept[best]]
    for share in sorted(options.shares)[1:]:
        tokens = round(share * options.tokens)
        plan = plan_of(tokens, best * (tokens / shortest) ** HORIZON_POWER)
        models.append(pretrained(out / f"{share:g}", plan, threads))
    bench = Bench(out, Machine(threads), Recipe(epochs=options.epochs))
    points, floor = curve(bench, models)
    say(points, floor)
    write_json(out / "curve.json", {"floor": floor, "points": [vars(one) for one in points]})
    if options.figure:
        draw(points, floor, options.figure)
    gain = points[-1].mean - points[0].mean
    print(f"pretraining gains {100 * gain:.1f} points; against the floor {100 * (points[-1].mean - floor):+.1f}")
    return 0 if gain >= GAIN else 1


if __name__ == "__main__":
    sys.exit(main())
