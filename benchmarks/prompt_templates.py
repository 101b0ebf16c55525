"""Which template a causal model answers best: chosen on texts of train without a shot, then told on the rows of dev.

    python benchmarks/prompt_templates.py MODEL --data DATA/text/sst2 --rows 1000

Every template sees the same texts of train (drawn by seed 0), in bf16. The best of them, and no other, is measured on
dev in float32: its first 120 rows and the others. With --all every template is told on the first 120 too, in bf16: for
the record, not to choose by.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from isoflop.adaptation import Split, read_split
from isoflop.adaptation.few_labels import CausalModel, Prompt, Prompted, prompt, read_causal, template_of, verbalizer_of

PLAIN, CAPITAL = "0=negative,1=positive", "0=Negative,1=Positive"
TEMPLATES = (
    (r"Review: {text}\nSentiment: {label}", PLAIN),
    (r"Review: {text}\nSentiment: {label}", CAPITAL),
    (r"Sentence: {text}\nSentiment: {label}", PLAIN),
    (r"Text: {text}\nSentiment: {label}", PLAIN),
    (r"Movie review: {text}\nSentiment: {label}", PLAIN),
    (r"Movie review: {text}\nSentiment: {label}", "0=negative|bad,1=positive|good"),
    (r'Movie review: "{text}"\nSentiment: {label}', PLAIN),
    (r"Review: {text}\nThe sentiment of this review is {label}", PLAIN),
    (r"{text} The sentiment of this sentence is {label}", PLAIN),
    (r"{text} It was {label}", "0=terrible,1=great"),
    (
        r"<|im_start|>user\nIs the sentiment of this movie review positive or negative?\n{text}<|im_end|>\n"
        r"<|im_start|>assistant\n{label}",
        CAPITAL,
    ),
    (
        r"<|im_start|>user\nMovie review: {text}<|im_end|>\n<|im_start|>assistant\nSentiment: {label}",
        PLAIN,
    ),
)
FIRST = 120


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="a folder with train.csv and dev.csv")
    parser.add_argument("--rows", type=int, default=1000, help="texts of train to choose on")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--shots", type=int, default=0, help="shots on the first of dev, besides none")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model, split = read_causal(asked.model), read_split(asked.data / "train.csv", dev=asked.data / "dev.csv")
    quick = replace(model, dtype=torch.bfloat16)
    train, dev = split.train, split.parts["dev"]
    rows = random.Random(0).sample(range(len(train)), asked.rows)
    chosen_on = split.with_parts({"train": train, "dev": train.take(rows)})
    first = split.with_parts({"train": train, "dev": dev.take(range(FIRST))})
    others = split.with_parts({"train": train, "dev": dev.take(range(FIRST, len(dev)))})
    found = []
    for form, words in TEMPLATES:
        result = measured(quick, chosen_on, form, words)
        found.append((result.scores["dev"]["none"].accuracy, form, words))
        print(f"train, {asked.rows} rows: {told(result)}  {form!r} {words}", flush=True)
        if asked.all:
            print(f"    first {FIRST} of dev: {told(measured(quick, first, form, words))}", flush=True)
    _, form, words = max(found)
    print(f"\nchosen: {form!r} {words}")
    asking = [(f"first {FIRST} of dev", first, 0), (f"the other {len(dev) - FIRST}", others, 0)]
    if asked.shots:
        asking.append((f"first {FIRST} of dev", first, asked.shots))
    for name, part, shots in asking:
        print(f"{name}, {shots} shots: {told(measured(model, part, form, words, shots))}", flush=True)
    print(f"{time.process_time():.0f} s of processor time")


def measured(model: CausalModel, split: Split, form: str, words: str, shots: int = 0) -> Prompted:
    how = Prompt(template_of(form), verbalizer_of(words, split.labels), shots=shots)
    with tempfile.TemporaryDirectory() as folder:
        return prompt(model, split, how, out=Path(folder) / "out", with_floor=False)


def told(result: Prompted) -> str:
    """Accuracy and calibration error as the model says it, and by the two calibrations."""
    scores = result.scores["dev"]
    return ", ".join(f"{name} {one.accuracy:.3f} (ECE {one.calibration_error:.3f})" for name, one in scores.items())


if __name__ == "__main__":
    main()
