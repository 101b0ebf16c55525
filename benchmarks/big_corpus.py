"""Memory that a corpus takes to read, split and tokenise: `python benchmarks/big_corpus.py --gigabytes 1`.

Writes a synthetic corpus (one large text file, and rows of JSONL with as much text together) in a temporary folder,
tokenises it in a process of its own, and prints that process's largest resident memory beside the size of the text.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = 20_000


def write_corpus(folder: Path, size: int) -> int:
    """Half of `size` bytes as one text file, half as JSONL rows of some 3 kB; returns the bytes of text."""
    draw = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgkjqxzéü"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(WORDS)]
    weights = [1 / (rank + 3) for rank in range(WORDS)]
    block = " ".join(draw.choices(words, weights, k=500_000))
    written = 0
    with (folder / "one.txt").open("w") as file:
        while written < size / 2:
            start = draw.randrange(len(block) // 2)
            file.write(block[start : start + 1_000_000])
            written += len(block[start : start + 1_000_000].encode())
    with (folder / "rows.jsonl").open("w") as file:
        while written < size:
            start = draw.randrange(len(block) - 3000)
            file.write(json.dumps({"text": block[start : start + 3000]}, ensure_ascii=False) + "\n")
            written += len(block[start : start + 3000].encode())
    return written


def tokenise(folder: Path, cache: Path, *, split_only: bool) -> None:
    """Tokenise the corpus and print what it took; the peak before it is what the packages alone take."""
    from isoflop.data import CorpusConfig, TokenizerConfig, prepare_tokens, read_corpus

    before, started = peak(), time.process_time()
    corpus = CorpusConfig(paths=(str(folder),))
    if split_only:
        split = read_corpus(corpus, folder=cache)
        what = f"{len(split.train):,} training and {len(split.valid):,} validation documents"
    else:
        data, _ = prepare_tokens(corpus, TokenizerConfig(vocab=512, train_bytes=1_000_000), cache=cache)
        what = f"{data.train_tokens + data.valid_tokens:,} tokens"
    print(f"{what} in {time.process_time() - started:.0f} s of processor time")
    print(f"largest resident memory {peak():.0f} MB, of which {before:.0f} MB before the first document was read")


def peak() -> float:
    """This process's largest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Write, tokenise in a process of its own, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--split-only", action="store_true", help="read and split, but do not tokenise")
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "CACHE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        tokenise(*map(Path, args.child), split_only=args.split_only)
        return
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name) / "text", Path(name) / "cache"
        folder.mkdir()
        written = write_corpus(folder, round(args.gigabytes * 1e9))
        print(f"{written / 1e6:,.0f} MB of text", flush=True)
        flags = ["--split-only"] if args.split_only else []
        subprocess.run([sys.executable, __file__, "--child", str(folder), str(cache), *flags], check=True)


if __name__ == "__main__":
    main()
