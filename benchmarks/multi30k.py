"""English to German from nothing: BLEU on Multi30k over the time of training, on val, and on test_2016 at the end.

Run: python benchmarks/multi30k.py [epochs] [threads] [folder] [seed]. It is the command of docs/generation.md, event
by event with the time. Run it again to go on where it was stopped. Data: multi30k in ISOFLOP_DATA/text. What is chosen
is chosen on val.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from isoflop.adaptation import EpochEnded, Files, Machine, Ready, Recipe, Result, finetune, task_named
from isoflop.adaptation.scratch import first_model

SHAPE = """
[shape]
stack = "encoder_decoder"
layers = 3
width = 192
heads = 4
ffn = 512
feed_forward = "relu"
vocab = 6000
context = 128
dropout = 0.2
tied = true
"""
BATCH, RATE = 128, 2e-3


def main(epochs: int = 14, threads: int = 2, folder: str = "multi30k", seed: int = 0) -> None:
    data = Path(os.environ.get("ISOFLOP_DATA", "../shared/data")) / "text" / "multi30k"
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    shape = out / "shape.toml"
    shape.write_text(SHAPE)
    task = task_named("seq2seq", {"target": "de", "answer": 80, "beams": 4})
    split = task.read(Files(data / "train.en.gz", data / "val.en.gz", data / "test_2016_flickr.en.gz"))
    model = first_model(shape, split, out / "start", seed=seed)
    recipe = Recipe(batch=BATCH, learning_rate=RATE, epochs=epochs, seed=seed)
    started = time.perf_counter()
    for event in finetune(model, split, out=out, recipe=recipe, machine=Machine(threads)):
        minutes = (time.perf_counter() - started) / 60
        if isinstance(event, Ready):
            print(f"{event.params:,} weights, {event.steps:,} steps; {event.how}", flush=True)
        elif isinstance(event, EpochEnded):
            figures = event.scores.figures
            told = f"val BLEU {figures['BLEU']:.2f} (greedy), {event.scores.nats:.3f} nats"
            print(f"epoch {event.epoch:2d}, {minutes:5.1f} minutes: {told}", flush=True)
        elif isinstance(event, Result):
            for part, scores in event.scores.items():
                told = ", ".join(f"{name} {figure:.2f}" for name, figure in scores.figures.items())
                print(f"{part}, {minutes:.1f} minutes: {told} (beams of 4)", flush=True)


if __name__ == "__main__":
    main(*(kind(one) for kind, one in zip((int, int, str, int), sys.argv[1:], strict=False)))
