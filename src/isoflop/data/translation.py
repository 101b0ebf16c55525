"""Sequence to sequence: pairs of texts from a file (CSV, TSV, JSONL) or two files side by side, padded to a batch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from isoflop.data.order import GoldenOrder
from isoflop.data.spans import started
from isoflop.data.special_tokens import PAD, Vocabulary
from isoflop.errors import UserError
from isoflop.models import IGNORED, PADDING, Batch

Pair = tuple[str, str]
EncodedPair = tuple[tuple[int, ...], tuple[int, ...]]


def read_pairs(paths: Sequence[Path], *, columns: tuple[str, str] | None = None) -> list[Pair]:
    """Pairs of source and target text.

    One path: TSV or CSV, whose first two columns are taken (no header) unless `columns` names two of its header; or
    JSONL, whose `columns` are taken (`source` and `target` by default). Two paths: line i of one belongs to line i of
    the other. Raises `UserError`, with the line, for a pair that lacks a side.
    """
    if len(paths) == 2:
        pairs = list(_from_two_files(*paths))
    elif len(paths) == 1:
        pairs = list(_from_one_file(paths[0], columns))
    else:
        raise UserError(f"Pairs are read from one file or two, not from {len(paths)}.")
    if not pairs:
        raise UserError(f"{paths[0]} holds no pairs of texts.")
    return pairs


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise UserError(f"The pairs in {path} can't be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}).") from error


def _from_two_files(first: Path, second: Path) -> Iterator[Pair]:
    one, other = (_lines(path) for path in (first, second))
    one, other = ([line.rstrip("\r") for line in lines[: len(lines) - (not lines[-1])]] for lines in (one, other))
    if len(one) != len(other):
        raise UserError(
            f"{first} has {len(one)} lines and {second} has {len(other)}: line by line they can't be pairs."
        )
    for number, pair in enumerate(zip(one, other, strict=True), start=1):
        yield _checked(pair, first, number)


def _from_one_file(path: Path, columns: tuple[str, str] | None) -> Iterator[Pair]:
    lines = _lines(path)
    if path.suffix == ".jsonl":
        source, target = columns or ("source", "target")
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    row = json.loads(line)
                    yield _checked((str(row[source]), str(row[target])), path, number)
                except (ValueError, KeyError, TypeError) as error:
                    raise UserError(f"{path}, line {number}: no pair of {source!r} and {target!r} there.") from error
        return
    tabs = path.suffix in (".tsv", ".txt")
    text = io.StringIO("\n".join(lines), newline="")
    rows = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(text)
    wanted = (0, 1)
    for row in rows:
        if columns is not None and rows.line_num == 1:
            missing = [name for name in columns if name not in row]
            if missing:
                raise UserError(f"{path} has no column {missing[0]!r} (it has {', '.join(row)}).")
            wanted = (row.index(columns[0]), row.index(columns[1]))
        elif row:
            if len(row) <= max(wanted):
                raise UserError(f"{path}, line {rows.line_num}: {len(row)} columns, too few for a pair.")
            yield _checked((row[wanted[0]], row[wanted[1]]), path, rows.line_num)


def _checked(pair: Pair, path: Path, number: int) -> Pair:
    if not (pair[0].strip() and pair[1].strip()):
        raise UserError(f"{path}, line {number}: a side of the pair is empty; take the line out.")
    return pair


def encode_pairs(pairs: Sequence[Pair], tokenizer: Tokenizer, *, context: int, end: int) -> list[EncodedPair]:
    """Token numbers of both sides, `end` behind each; `UserError` where a side is then longer than `context`."""
    sides = [[encoded.ids for encoded in tokenizer.encode_batch([pair[side] for pair in pairs])] for side in (0, 1)]
    longest = max(max(map(len, side)) for side in sides) + 1
    if longest > context:
        raise UserError(
            f"The longest text of the pairs has {longest} tokens with its end, the context {context}: "
            "use a longer context or shorter pairs."
        )
    return [((*source, end), (*target, end)) for source, target in zip(*sides, strict=True)]


@dataclass
class PairBatches:
    """Source, inputs and targets of an encoder-decoder; each batch is as long as its longest pair, the rest is padding.

    Padding has document number 0 in `source_documents` and `documents`, and is not predicted.
    """

    pairs: Sequence[EncodedPair]
    batch: int
    seed: int
    vocabulary: Vocabulary
    device: str = "cpu"

    def __post_init__(self) -> None:
        if len(self.pairs) < self.batch:
            raise UserError(f"There are {len(self.pairs)} pairs, less than one batch of {self.batch}.")
        self.sequences = len(self.pairs)
        self._order = GoldenOrder(self.sequences, self.batch, self.seed)

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        chosen = [self.pairs[index] for index in self._order.at(step)]
        pad = self.vocabulary.number(PAD)
        source_BS, targets_BT = (_padded([pair[side] for pair in chosen], pad) for side in (0, 1))
        source_documents_BS, documents_BT = (_there([pair[side] for pair in chosen]) for side in (0, 1))
        return Batch(
            inputs=started(targets_BT, pad),
            targets=torch.where(documents_BT == PADDING, IGNORED, targets_BT),
            documents=documents_BT,
            source=source_BS,
            source_documents=source_documents_BS,
        ).to(self.device)


def _padded(rows: Sequence[tuple[int, ...]], pad: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows])


def _there(rows: Sequence[tuple[int, ...]]) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[1] * len(row) + [PADDING] * (longest - len(row)) for row in rows])
