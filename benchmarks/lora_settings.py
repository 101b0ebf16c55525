"""LoRA beside full fine-tuning on sst2: settings are chosen on dev after a part of train, then used once on all of it.

    python benchmarks/lora_settings.py MODEL DATA OUT

where DATA has train.csv, dev.csv and test.csv. Every fine-tuning is kept in OUT, so that the same command goes on with
an interrupted one. Only the chosen settings see test.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from isoflop.adaptation import Lora, Machine, Ready, Recipe, Result, Split, finetune, read_split
from isoflop.adaptation.split import TRAIN

EVERYWHERE = ("qkv", "out", "up", "down")
CANDIDATES = {
    f"{name}-{rate:g}": Recipe(Lora(8, targets), rate)
    for name, targets, rates in (("everywhere", EVERYWHERE, (5e-4, 1e-3, 2e-3)), ("attention", ("qkv", "out"), (1e-3,)))
    for rate in rates
}


def run(model: Path, split: Split, out: Path, recipe: Recipe) -> Result:
    """One fine-tuning on one thread."""
    for event in finetune(model, split, out=out, recipe=recipe, machine=Machine(threads=1)):
        if isinstance(event, Ready):
            print(f"  {event.trained:,} of {event.params:,} weights ({event.trained / event.params:.2%})", flush=True)
    assert isinstance(event, Result), "the training diverged"
    return event


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sentences", type=int, default=1500, help="of train, to choose the settings on")
    asked = parser.parse_args()
    whole = read_split(asked.data / "train.csv", dev=asked.data / "dev.csv", test=asked.data / "test.csv")
    drawn = random.Random(0).sample(range(len(whole.train)), asked.sentences)
    small = whole.with_parts({TRAIN: whole.train.take(drawn), "dev": whole.parts["dev"]})
    found = {}
    for name, recipe in CANDIDATES.items():
        found[name] = run(asked.model, small, asked.out / name, recipe).scores["dev"]
        print(f"{name}: dev accuracy {found[name].accuracy:.4f}, {found[name].nats:.4f} nats", flush=True)
    best = max(found, key=lambda name: (found[name].accuracy, -found[name].nats))
    scores = run(asked.model, whole, asked.out / "whole", CANDIDATES[best]).scores
    print(f"{best} on all of train: dev {scores['dev'].accuracy:.4f}, test {scores['test'].accuracy:.4f}")


if __name__ == "__main__":
    main()
