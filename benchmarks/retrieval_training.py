"""What training an embedder on one's own data brings: the Cranfield collection, against the model untouched and BM25.

    python benchmarks/retrieval_training.py MODEL DATA OUT [--seeds 0,1,2] [--epochs 1] [--max-length 128] [--only …]

MODEL is a folder of a pretrained encoder, DATA one with `docs.jsonl.gz`, `queries.jsonl` and `qrels.txt`. The
collection has no training part, so this makes two, before anything is measured:

- titles: each document's title is a query, and the rest of its text what answers it. No judgement is used, and all 225
  queries are measured.
- queries: half of the queries, drawn with the seed, with the documents judged relevant to them. The other half is
  measured, so its figures are not those of all queries.

The recipe is fixed beforehand: all weights, 2e-5, batches of 32, temperature 0.05. Documents are measured up to 256
tokens. With several seeds a query's gain is the mean over those that did not see it, and the interval is over queries.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from statistics import fmean

from isoflop.adaptation import Files, Machine, Recipe, finetune, task_named
from isoflop.adaptation.retrieval import (
    Texts,
    VectorIndex,
    WordIndex,
    measure,
    read_documents,
    read_embedder,
    read_grades,
    read_queries,
)
from isoflop.adaptation.rows import read_rows
from isoflop.evaluation.intervals import paired_test

MEASURED_LENGTH = 256
HELD_OUT = 100
"""Pairs of titles that are watched, and not trained on."""

Rows = list[tuple[str, str]]


def main() -> None:
    """Train both ways and print a table for each."""
    asked = _arguments()
    documents, queries = read_documents(asked.data / "docs.jsonl.gz"), read_queries(asked.data / "queries.jsonl")
    grades = read_grades(asked.data / "qrels.txt", queries, documents)
    before = measure(VectorIndex(read_embedder(asked.model, longest=MEASURED_LENGTH), documents), queries, grades)
    words = measure(WordIndex(documents), queries, grades)
    print(f"nDCG@10 on all {len(queries)} queries: untouched {before.ndcg:.4f}, bm25 {words.ndcg:.4f}", flush=True)
    gains: dict[str, list[list[float]]] = {}
    for seed in asked.seeds:
        numbers = list(range(len(queries)))
        random.Random(seed).shuffle(numbers)
        half = sorted(numbers[: len(numbers) // 2])
        ways = {
            "titles": (_titles(asked.data / "docs.jsonl.gz", seed), sorted(numbers)),
            "queries": (_judged(documents, queries, grades, half), sorted(set(numbers) - set(half))),
        }
        for way, (rows, measured) in ways.items():
            if asked.only in (None, way):
                trained = _trained(asked, way, seed, rows)
                index = VectorIndex(read_embedder(trained, longest=MEASURED_LENGTH), documents)
                found = {"trained": measure(index, queries, grades), "untouched": before, "bm25": words}
                _say(
                    f"{way}, seed {seed}",
                    {name: [one.queries[at].ndcg for at in measured] for name, one in found.items()},
                )
                of_query = gains.setdefault(way, [[] for _ in numbers])
                for at in measured:
                    of_query[at].append(found["trained"].queries[at].ndcg - before.queries[at].ndcg)
    for way, of_query in gains.items():
        means = [fmean(some) for some in of_query if some]
        gain = _gap(means, [0.0] * len(means))
        print(f"{way}, {len(asked.seeds)} seeds, {len(means)} queries: trained less untouched {gain}")


def _titles(path: Path, seed: int) -> dict[str, Rows]:
    rows = []
    for _, row in read_rows(path):
        title, text = str(row["title"]).strip(), str(row["text"]).strip()
        rest = text.removeprefix(title).strip()
        if title and rest:
            rows.append((title, rest))
    random.Random(seed).shuffle(rows)
    return {"train": rows[HELD_OUT:], "dev": rows[:HELD_OUT]}


def _judged(documents: Texts, queries: Texts, grades: list[dict[int, float]], half: list[int]) -> dict[str, Rows]:
    """Pairs of a query and a document that is relevant to it; a tenth of these queries is watched."""
    parts: dict[str, Rows] = {"train": [], "dev": []}
    for place, number in enumerate(half):
        rows = [(queries.texts[number], documents.texts[at]) for at, grade in grades[number].items() if grade > 0]
        parts["dev" if place % 10 == 0 else "train"] += rows
    return parts


def _trained(asked: argparse.Namespace, way: str, seed: int, parts: dict[str, Rows]) -> Path:
    folder = asked.out / f"{way}-seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in parts.items():
        lines = (json.dumps({"query": query, "positive": positive}) for query, positive in rows)
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    split = task_named("embed").read(Files(folder / "train.jsonl", folder / "dev.jsonl"))
    recipe = Recipe(epochs=asked.epochs, longest=asked.max_length, seed=seed)
    started = time.process_time()
    for _ in finetune(asked.model, split, out=folder / "model", recipe=recipe, machine=Machine(1)):
        pass
    print(
        f"  {way}: {len(parts['train']):,} pairs, {time.process_time() - started:.0f} s of processor time", flush=True
    )
    return folder / "model"


def _say(way: str, values: dict[str, list[float]]) -> None:
    trained, count = values["trained"], len(values["trained"])
    print(f"{way}: nDCG@10 on {count} queries")
    for name, own in values.items():
        line = f"  {name:10} {sum(own) / count:.4f}"
        print(line if name == "trained" else f"{line}   trained less this: {_gap(trained, own)}", flush=True)


def _gap(some: list[float], others: list[float]) -> str:
    """The mean difference with its 95 % interval over queries, and the p-value of none."""
    gap = paired_test(some, others)
    low, high = gap.difference.low or 0.0, gap.difference.high or 0.0
    return f"{gap.difference.value:+.4f} ({low:+.4f} to {high:+.4f}), p = {gap.p_value:.4f}"


def _seeds(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--seeds", type=_seeds, default=[0])
    parser.add_argument("--only", choices=("titles", "queries"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
