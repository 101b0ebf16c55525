"""From a corpus to memory-mapped token shards: a byte-level BPE of its own, cached by content hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from isoflop.data.corpus import CorpusConfig, Document, Split, read_corpus
from isoflop.errors import UserError
from isoflop.files import atomic_write, write_json, write_text

END_OF_DOCUMENT = "<|endoftext|>"
SMALLEST_VOCAB = 257
CHUNK_CHARACTERS = 65_536
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
    return prepare_split(read_corpus(corpus), tokenizer, cache=cache)


def prepare_split(split: Split, tokenizer: TokenizerConfig, *, cache: Path) -> tuple[TokenData, bool]:
    """The same for documents that are already read and split."""
    settings = json.dumps([FORMAT, split.content_hash, tokenizer.vocab, tokenizer.train_bytes])
    folder = cache / hashlib.sha256(settings.encode()).hexdigest()[:16]
    if (folder / "tokens.json").exists():
        return load_tokens(folder), True
    bpe = train_tokenizer(_text(split.train), tokenizer)
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


def _text(documents: Sequence[Document]) -> Iterator[str]:
    """Pieces of the documents, taken evenly from all of them so that a part of the text stands for the whole."""
    chunks = [piece for document in documents for piece in _pieces(document.text)]
    stride = max(1, round(len(chunks) * 0.618))
    while np.gcd(stride, len(chunks)) != 1:
        stride += 1
    return (chunks[(i * stride) % len(chunks)] for i in range(len(chunks)))


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), CHUNK_CHARACTERS):
        yield text[start : start + CHUNK_CHARACTERS].encode("utf-8", "replace").decode()


def _write_shard(path: Path, documents: Sequence[Document], bpe: Tokenizer) -> tuple[int, int]:
    """Write the documents' tokens, an end mark after each; returns the numbers of tokens and of bytes of text."""
    end = bpe.token_to_id(END_OF_DOCUMENT)
    dtype = token_dtype(bpe.get_vocab_size())
    n_tokens = n_bytes = 0
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    with atomic_write(path) as handle:
        for start in range(0, len(documents), 64):
            batch = [
                (piece, last) for document in documents[start : start + 64] for piece, last in _marked(document.text)
            ]
            for encoded, (piece, last) in zip(bpe.encode_batch([piece for piece, _ in batch]), batch, strict=True):
                ids = np.asarray(encoded.ids + [end] * last, dtype=dtype)
                handle.write(ids.tobytes())
                n_tokens += len(ids)
                n_bytes += len(piece.encode())
    return n_tokens, n_bytes


def _marked(text: str) -> Iterator[tuple[str, bool]]:
    pieces = list(_pieces(text))
    for number, piece in enumerate(pieces, start=1):
        yield piece, number == len(pieces)
