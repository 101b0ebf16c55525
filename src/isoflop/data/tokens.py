"""From a corpus to memory-mapped token shards: a byte-level BPE of its own, cached by content hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from isoflop.data.corpus import CorpusConfig, Side, Split, read_corpus
from isoflop.errors import UserError
from isoflop.files import atomic_write, write_json, write_text

END_OF_DOCUMENT = "<|endoftext|>"
SMALLEST_VOCAB = 257
BATCH_CHARACTERS = 1 << 20
"""So many are tokenised at a time."""
FORMAT = 1


@dataclass(frozen=True)
class TokenizerConfig:
    """A byte-level BPE with `vocab` entries, trained on at most `train_bytes` of the training side.

    8 MB settle the merges of a small vocabulary: more text changes the tokens per byte in the third digit only.
    """

    vocab: int = 512
    train_bytes: int = 8_000_000

    def __post_init__(self) -> None:
        if self.vocab < SMALLEST_VOCAB:
            raise UserError(f"tokenizer.vocab must be at least {SMALLEST_VOCAB} (256 bytes and the end of a document).")
        if self.train_bytes < 1:
            raise UserError("tokenizer.train_bytes must be at least 1.")


@dataclass(frozen=True)
class TokenData:
    """A tokenised corpus on disk, `train.bin` and `valid.bin` (little-endian unsigned), and what is known of it."""

    folder: Path
    vocab: int
    train_tokens: int
    valid_tokens: int
    tokens_per_byte: float
    """On the validation side."""
    corpus_hash: str
    tokenizer_hash: str
    replaced: int
    damaged_documents: int

    def train(self) -> NDArray[np.unsignedinteger]:
        return self._open("train.bin")

    def valid(self) -> NDArray[np.unsignedinteger]:
        return self._open("valid.bin")

    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    def _open(self, name: str) -> NDArray[np.unsignedinteger]:
        return np.memmap(self.folder / name, dtype=token_dtype(self.vocab), mode="r")


def token_dtype(vocab: int) -> np.dtype[np.unsignedinteger]:
    """The smallest unsigned type that holds every token."""
    return np.dtype("<u2") if vocab <= 2**16 else np.dtype("<u4")


def cache_folder() -> Path:
    """Where tokenised corpora are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "isoflop" / "tokens"


def prepare_tokens(corpus: CorpusConfig, tokenizer: TokenizerConfig, *, cache: Path) -> tuple[TokenData, bool]:
    """Tokenise `corpus`, or find it in `cache`; returns the data and whether it was found there.

    The cache key is the hash of the text itself and of the tokenizer's settings, so changed text is never mistaken
    for the old. Raises `UserError` for an empty or unreadable corpus or a full disk.
    """
    return prepare_split(read_corpus(corpus, folder=cache), tokenizer, cache=cache)


def prepare_split(split: Split, tokenizer: TokenizerConfig, *, cache: Path) -> tuple[TokenData, bool]:
    """The same for documents that are already read and split."""
    settings = json.dumps([FORMAT, split.content_hash, tokenizer.vocab, tokenizer.train_bytes])
    folder = cache / hashlib.sha256(settings.encode()).hexdigest()[:16]
    if (folder / "tokens.json").exists():
        return load_tokens(folder), True
    bpe = train_tokenizer(_spread_pieces(split.train), tokenizer)
    serialised = bpe.to_str()
    write_text(folder / "tokenizer.json", serialised)
    train_tokens, _ = _write_shard(folder / "train.bin", split.train, bpe)
    valid_tokens, valid_bytes = _write_shard(folder / "valid.bin", split.valid, bpe)
    record = {
        "vocab": bpe.get_vocab_size(),
        "train_tokens": train_tokens,
        "valid_tokens": valid_tokens,
        "tokens_per_byte": valid_tokens / valid_bytes,
        "corpus_hash": split.content_hash,
        "tokenizer_hash": hashlib.sha256(serialised.encode()).hexdigest()[:16],
        "replaced": split.replaced,
        "damaged_documents": split.damaged_documents,
    }
    write_json(folder / "tokens.json", record)
    return load_tokens(folder), False


def load_tokens(folder: Path) -> TokenData:
    """Open a folder that `prepare_tokens` wrote. Raises `UserError` where it is damaged."""
    try:
        data = TokenData(folder=folder, **json.loads((folder / "tokens.json").read_text(encoding="utf-8")))
        sizes = (len(data.train()), len(data.valid()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"The token cache {folder} is damaged ({error}): delete it and run again.") from error
    if sizes != (data.train_tokens, data.valid_tokens):
        raise UserError(f"The token cache {folder} is damaged (a shard has the wrong length): delete it and run again.")
    return data


def train_tokenizer(pieces: Iterator[str], config: TokenizerConfig) -> Tokenizer:
    """Train a byte-level BPE (Radford et al. 2019) on the first `config.train_bytes` of `pieces`."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END_OF_DOCUMENT],
        show_progress=False,
    )
    bpe.train_from_iterator(_first(pieces, config.train_bytes), trainer)
    return bpe


def _first(pieces: Iterator[str], limit: int) -> Iterator[str]:
    used = 0
    for piece in pieces:
        if used >= limit:
            return
        used += len(piece.encode("utf-8", "replace"))
        yield piece


def _spread_pieces(side: Side) -> Iterator[str]:
    """Pieces of the documents, taken evenly from all of them so that a part of the text stands for the whole."""
    entries, last = side.spool.entries, len(side.spool.starts)
    first = entries["piece"][side.numbers].astype(np.int64)
    after = side.numbers + 1
    until = np.where(after < len(entries), entries["piece"][after % len(entries)], last).astype(np.int64)
    before = np.cumsum(until - first) - (until - first)
    count = int((until - first).sum())
    stride = max(1, round(count * 0.618))
    while np.gcd(stride, count) != 1:
        stride += 1
    for place in range(count):
        wanted = (place * stride) % count
        document = int(np.searchsorted(before, wanted, side="right")) - 1
        yield _clean(side.spool.piece(int(first[document]) + wanted - int(before[document])))


def _clean(piece: str) -> str:
    """A lone half of a surrogate pair, which JSON can hold and UTF-8 can't, becomes a question mark."""
    return piece.encode("utf-8", "replace").decode()


def _write_shard(path: Path, side: Side, bpe: Tokenizer) -> tuple[int, int]:
    """Write the documents' tokens, an end mark after each; returns the numbers of tokens and of bytes of text."""
    end = bpe.token_to_id(END_OF_DOCUMENT)
    dtype = token_dtype(bpe.get_vocab_size())
    n_tokens = n_bytes = 0
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    with atomic_write(path) as handle:
        for batch in _batches(side):
            encoded = bpe.encode_batch_fast([piece for piece, _ in batch])
            for one, (piece, last) in zip(encoded, batch, strict=True):
                ids = np.asarray(one.ids + [end] * last, dtype=dtype)
                handle.write(ids.tobytes())
                n_tokens += len(ids)
                n_bytes += len(piece.encode())
    return n_tokens, n_bytes


def _batches(side: Side) -> Iterator[list[tuple[str, bool]]]:
    """All pieces, each with whether its document ends with it, about a million characters at a time."""
    batch, size = list[tuple[str, bool]](), 0
    for number in side.numbers.tolist():
        pieces = side.spool.piece_range(number)
        for piece in pieces:
            batch.append((_clean(side.spool.piece(piece)), piece == pieces[-1]))
            size += len(batch[-1][0])
            if size >= BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch
