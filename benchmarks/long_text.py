"""Ways to classify texts that are longer than the model, in one table: what is read, what it costs, how right it is.

    python benchmarks/long_text.py DATA OUT [--model DIR] [--place anywhere] [--texts 400] [--ways head,tail]
    python benchmarks/long_text.py DATA OUT --dialogues --model DIR --max-length 32

With `--dialogues` the texts are real ones, dialogues of doctors and patients (DATA is mts_dialog), whose label is the
section of the report that they belong to, one of twenty; they are long beside `--max-length` alone.

Otherwise this makes texts, and they are constructed: 1,100 words of one novel with 300 words of another put in. The
label is the book that the 300 words are from, one of six; the rest is from six other books. DATA is a folder with the
novels (`train.txt.gz` and `manifest.tsv`). Train, dev and test are from different parts of each book, so no sentence is
in two of them; names of characters are, and tell much. `--place` says where the telling words stand (start, middle,
end, anywhere), or that all are of the labelled book (everywhere).

Without `--model`, a small encoder (2 layers of width 64, context 256) is pretrained on the same novels' train parts
first, and kept in OUT.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

from isoflop.adaptation import Files, Machine, Recipe, Result, finetune, task_named
from isoflop.training import pretrain, read_plan

WORDS, TELLING = 1_400, 300
BOOKS, OTHERS = 6, 6
SHARES = {"train": (0.0, 0.6), "dev": (0.6, 0.75), "test": (0.75, 1.0)}
"""Which part of each book the parts of the data are from."""
WAYS = {
    "head": {"long": "head"},
    "tail": {"long": "tail"},
    "both": {"long": "both"},
    "segments-mean": {"long": "segments"},
    "segments-max": {"long": "segments", "join": "max"},
    "hierarchical": {"long": "hierarchical"},
    "window": {"long": "window"},
    "strided": {"long": "strided"},
}
BATCH = 16
LONGEST_WINDOW = 2_560
"""Tokens that a model with windows or strides reads: all of these texts."""
PLAN = """
schema = 1
[shape]
layers = 2
width = 64
heads = 2
ffn = 256
vocab = 4096
context = 256
stack = "encoder"
positions = "learned"
dropout = 0.1
[train]
tokens = {tokens}
batch_tokens = 4096
learning_rate = 0.005
parametrization = "sp"
objective = "masked"
evaluations = 1
valid_tokens = 40960
[data]
corpus = [{corpus!r}]
valid_percent = 5
"""


def main() -> None:
    """Make the texts, train each way, print the table."""
    asked = _arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.dialogues:
        files, model = Files(*(asked.data / f"{part}.csv" for part in ("train", "valid", "test1"))), asked.model
    else:
        books = list(_books(asked.data))
        if len(books) < BOOKS + OTHERS:
            raise SystemExit(f"{asked.data} has {len(books)} whole novels, and {BOOKS + OTHERS} are needed")
        files = _files(asked, books)
        model = asked.model or _small_encoder(asked.out, books, asked.pretraining_tokens)
    print(f"{'way':15} {'test':>6} {'± s.e.':>7} {'dev':>6} {'tokens a text':>14} {'processor s':>12}")
    floor = None
    for way in asked.ways.split(","):
        result, tokens, seconds = _measured(asked, model, files, way)
        test, dev = result.scores["test"], result.scores["dev"]
        error = (test.accuracy * (1 - test.accuracy) / test.examples) ** 0.5
        print(
            f"{way:15} {test.accuracy:6.3f} {error:7.3f} {dev.accuracy:6.3f} {tokens:14,.0f} {seconds:12.0f}",
            flush=True,
        )
        floor = result.floor
    if floor is not None:
        print(f"{'floor':15} {floor.scores['test'].accuracy:6.3f}   {floor.description}")  # type: ignore[attr-defined]


def _measured(asked: argparse.Namespace, model: Path, files: Files, way: str) -> tuple[Result, float, float]:
    """The result, tokens read of a text, and processor time of training and measuring."""
    columns = {"text": "dialogue", "label": "section_header"} if asked.dialogues else {}
    split = task_named("classify", WAYS[way] | columns).read(files)
    in_one = way in ("window", "strided")
    # whole texts go through the model one by one: nothing is padded, and a batch of long ones takes no memory for all
    longest, parts = (LONGEST_WINDOW, BATCH) if in_one else (asked.max_length, 1)
    how = {"batch": BATCH, "longest": longest, "seed": asked.seed, "accumulate": parts}
    recipe = Recipe(learning_rate=asked.lr, epochs=asked.epochs, **how)
    what = "dialogues" if asked.dialogues else asked.place
    started, out = time.process_time(), asked.out / f"{what}-{way}-seed{asked.seed}"
    *_, result = finetune(model, split, out=out, recipe=recipe, machine=Machine(1))
    assert isinstance(result, Result), f"{way} diverged"
    record = json.loads((out / "run.json").read_text())
    return result, record["unique_tokens"] / len(split.train), time.process_time() - started


def _books(data: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and words of each novel; the file has them one behind the other, with an empty line between."""
    with gzip.open(data / "train.txt.gz") as file:
        text = file.read()
    with (data / "manifest.tsv").open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == "train"]
    at = 0
    for row in rows:
        size = int(row["bytes"])
        if at + size > len(text):
            return
        yield row["file"].removesuffix(".txt"), text[at : at + size].decode().split()
        at += size + 2


def _files(asked: argparse.Namespace, books: list[tuple[str, list[str]]]) -> Files:
    """Tables of texts and labels in OUT; a function of seed, place and sizes."""
    paths = {}
    for part, share in SHARES.items():
        count = {"train": asked.texts, "dev": asked.texts // 4, "test": asked.texts // 2}[part]
        draw = random.Random(f"{asked.seed}/{part}/{asked.place}")
        paths[part] = asked.out / f"{asked.place}-{part}-seed{asked.seed}.csv"
        with paths[part].open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "label"))
            for number in range(count):
                name, words = books[number % BOOKS]
                other = books[BOOKS + draw.randrange(OTHERS)][1]
                writer.writerow((" ".join(_text(draw, _part(words, share), _part(other, share), asked.place)), name))
    return Files(paths["train"], paths["dev"], paths["test"])


def _part(words: list[str], share: tuple[float, float]) -> list[str]:
    return words[round(share[0] * len(words)) : round(share[1] * len(words))]


def _text(draw: random.Random, words: list[str], other: list[str], place: str) -> list[str]:
    if place == "everywhere":
        return _run(draw, words, WORDS)
    filler, telling = _run(draw, other, WORDS - TELLING), _run(draw, words, TELLING)
    before = {"start": 0, "middle": len(filler) // 2, "end": len(filler)}.get(place, draw.randint(0, len(filler)))
    return filler[:before] + telling + filler[before:]


def _run(draw: random.Random, words: list[str], count: int) -> list[str]:
    start = draw.randrange(len(words) - count)
    return words[start : start + count]


def _small_encoder(out: Path, books: list[tuple[str, list[str]]], tokens: int) -> Path:
    """The folder of an encoder that is pretrained here, once."""
    corpus, plan = out / "novels.txt", out / "plan.toml"
    if not (out / "pretrained" / "model" / "model.json").exists():
        corpus.write_text("\n\n".join(" ".join(_part(words, SHARES["train"])) for _, words in books))
        plan.write_text(PLAN.format(tokens=tokens, corpus=str(corpus)))
        started = time.process_time()
        for _ in pretrain(read_plan(plan), out / "pretrained"):
            pass
        print(f"pretrained a small encoder on {tokens:,} tokens: {time.process_time() - started:.0f} s", flush=True)
    return out / "pretrained" / "model"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--dialogues", action="store_true", help="needs --model and --max-length")
    parser.add_argument("--place", choices=("anywhere", "start", "middle", "end", "everywhere"), default="anywhere")
    parser.add_argument("--texts", type=int, default=400, help="texts to train on; a quarter of it dev, half test")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--max-length", type=int, default=None, help="tokens of a segment; the model's context")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pretraining-tokens", type=int, default=2_000_000)
    asked = parser.parse_args()
    if asked.dialogues and (asked.model is None or asked.max_length is None):
        parser.error("--dialogues needs --model and --max-length")
    return asked


if __name__ == "__main__":
    main()
