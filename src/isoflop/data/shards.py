"""Token shards: one file for each side, and beside it an index of where each document begins and what it is called.

`train.bin` holds the tokens (little-endian unsigned), `train.documents` two 64-bit numbers for each document (its first
token, and where its name begins in `train.names`). All of them are memory-mapped: none has to fit in memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tokenizers import Tokenizer

from isoflop.data.corpus import Side
from isoflop.errors import UserError
from isoflop.files import atomic_write

END_OF_DOCUMENT = "<|endoftext|>"
BATCH_CHARACTERS = 1 << 20
"""So many are tokenised at a time."""

SideName = Literal["train", "valid"]

_ENTRY = struct.Struct("<QQ")
_INDEX = np.dtype([("token", "<u8"), ("name", "<u8")])


@dataclass(frozen=True)
class Origin:
    """Where a token comes from: its document, and its place in it, in tokens from 0. The last is the end mark."""

    document: str
    offset: int


def token_dtype(vocab: int) -> np.dtype[np.unsignedinteger]:
    """The smallest unsigned type that holds every token."""
    return np.dtype("<u2") if vocab <= 2**16 else np.dtype("<u4")


def clean(piece: str) -> str:
    """A lone half of a surrogate pair, which JSON can hold and UTF-8 can't, becomes a question mark."""
    return piece.encode("utf-8", "replace").decode()


def write_shard(folder: Path, name: SideName, sides: Sequence[Side], bpe: Tokenizer) -> list[tuple[int, int]]:
    """Write the documents' tokens, an end mark after each, and their index; one of `sides` after the other.

    Returns for each of them the numbers of tokens and of bytes of text. Raises `UserError` for a full disk.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    with ExitStack() as stack:
        # The tokens get their name last: where they are, their index is too.
        tokens, index, names = (
            stack.enter_context(atomic_write(folder / f"{name}.{kind}")) for kind in ("bin", "documents", "names")
        )
        sizes, at_token, at_name = [], 0, 0
        for side in sides:
            n_tokens = n_bytes = 0
            numbers = iter(side.numbers.tolist())
            begins = True
            for ids, length, last in _encoded(side, bpe):
                if begins:
                    label = side.spool.name(next(numbers)).encode("utf-8", "surrogatepass")
                    index.write(_ENTRY.pack(at_token + n_tokens, at_name))
                    names.write(label)
                    at_name += len(label)
                tokens.write(ids.tobytes())
                n_tokens, n_bytes, begins = n_tokens + len(ids), n_bytes + length, last
            sizes.append((n_tokens, n_bytes))
            at_token += n_tokens
    return sizes


def _encoded(side: Side, bpe: Tokenizer) -> Iterator[tuple[np.ndarray, int, bool]]:
    """Of each piece its tokens, its bytes, and whether its document ends with it."""
    end, dtype = bpe.token_to_id(END_OF_DOCUMENT), token_dtype(bpe.get_vocab_size())
    for batch in _batches(side):
        encoded = bpe.encode_batch_fast([piece for piece, _ in batch])
        for one, (piece, last) in zip(encoded, batch, strict=True):
            yield np.asarray(one.ids + [end] * last, dtype=dtype), len(piece.encode()), last


def _batches(side: Side) -> Iterator[list[tuple[str, bool]]]:
    """All pieces, each with whether its document ends with it, about a million characters at a time."""
    batch, size = list[tuple[str, bool]](), 0
    for number in side.numbers.tolist():
        pieces = side.spool.piece_range(number)
        for piece in pieces:
            batch.append((clean(side.spool.piece(piece)), piece == pieces[-1]))
            size += len(batch[-1][0])
            if size >= BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def find_origin(folder: Path, side: SideName, position: int) -> Origin:
    """The document of token `position` of a side. Raises `UserError` where the index is damaged."""
    try:
        index = np.memmap(folder / f"{side}.documents", dtype=_INDEX, mode="r")
        place = int(np.searchsorted(index["token"], position, side="right")) - 1
        begin = int(index["name"][place])
        with (folder / f"{side}.names").open("rb") as names:
            names.seek(begin)
            label = names.read(int(index["name"][place + 1]) - begin if place + 1 < len(index) else -1)
    except (OSError, ValueError) as error:
        raise UserError(f"The token cache {folder} is damaged ({error}): delete it and run again.") from error
    return Origin(label.decode("utf-8", "surrogatepass"), position - int(index["token"][place]))
