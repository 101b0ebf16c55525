"""From a corpus to memory-mapped token shards: a byte-level BPE of its own, cached by content hash."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from isoflop.data.corpus import CorpusConfig, Side, Split, read_corpus
from isoflop.data.mixture import Flat, MixedTokens, PartUse, Tokens, uses
from isoflop.data.shards import END_OF_DOCUMENT, Origin, SideName, clean, find_origin, token_dtype, write_shard
from isoflop.errors import UserError
from isoflop.files import write_json, write_text

SMALLEST_VOCAB = 257
FORMAT = 2


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
class PartTokens:
    """A part of a mixture in the shards: its name, its share, its tokens on either side."""

    name: str
    share: float
    train_tokens: int
    valid_tokens: int


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
    parts: tuple[PartTokens, ...] = ()
    """Of a mixture, whose shards hold them one after the other."""

    @property
    def fresh_tokens(self) -> int:
        """How many tokens a run can be of before any of them comes again: before the first part begins anew."""
        return min((int(part.train_tokens / part.share) for part in self.parts), default=self.train_tokens)

    def train(self) -> Tokens:
        return self._divided(self.shard("train"), [part.train_tokens for part in self.parts])

    def valid(self) -> Tokens:
        return self._divided(self.shard("valid"), [part.valid_tokens for part in self.parts])

    def shard(self, side: SideName) -> Flat:
        """All tokens of a side, of whatever parts."""
        return np.memmap(self.folder / f"{side}.bin", dtype=token_dtype(self.vocab), mode="r")

    def uses(self, *, sequences: int, context: int) -> list[PartUse]:
        """What a run of `sequences` sequences of `context` tokens sees of each part, or of the whole."""
        parts = [(part.name, part.share, part.train_tokens) for part in self.parts]
        return uses(parts or [("", 1.0, self.train_tokens)], sequences=sequences, context=context)

    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    def origin(self, side: SideName, position: int) -> Origin:
        """The document that token `position` of a side's shard comes from. Raises `UserError` beyond its end."""
        total = self.train_tokens if side == "train" else self.valid_tokens
        if not 0 <= position < total:
            raise UserError(f"The {side} side has tokens 0 to {total - 1:,}: there is none at {position:,}.")
        return find_origin(self.folder, side, position)

    def _divided(self, tokens: Flat, sizes: list[int]) -> Tokens:
        if not sizes:
            return tokens
        names, shares = (tuple(getattr(part, field) for part in self.parts) for field in ("name", "share"))
        return MixedTokens(tokens, tuple(np.cumsum(sizes).tolist()), shares, names)


def cache_folder() -> Path:
    """Where tokenised corpora are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "isoflop" / "tokens"


def prepare_tokens(corpus: CorpusConfig, tokenizer: TokenizerConfig, *, cache: Path) -> tuple[TokenData, bool]:
    """Tokenise `corpus`, or find it in `cache`; returns the data and whether it was found there.

    The cache key is the hash of the text itself and of the tokenizer's settings, so changed text is never mistaken
    for the old. Raises `UserError` for an empty or unreadable corpus or a full disk.
    """
    splits = [read_corpus(part, folder=cache) for part in corpus.parts()]
    if not corpus.mixture:
        return prepare_split(splits[0], tokenizer, cache=cache)
    total = sum(part.weight for part in corpus.mixture)
    portions = [
        Portion(part.name, part.weight / total, split) for part, split in zip(corpus.mixture, splits, strict=True)
    ]
    key = json.dumps([[portion.share, portion.split.content_hash] for portion in portions])
    return _prepare(portions, hashlib.sha256(key.encode()).hexdigest()[:16], tokenizer, cache=cache)


def prepare_split(split: Split, tokenizer: TokenizerConfig, *, cache: Path) -> tuple[TokenData, bool]:
    """The same for documents that are already read and split."""
    return _prepare([Portion("", 1.0, split)], split.content_hash, tokenizer, cache=cache)


@dataclass(frozen=True)
class Portion:
    """A part of a mixture that was read: its name, its share of what is trained on, its documents."""

    name: str
    share: float
    split: Split


def _prepare(
    portions: list[Portion], corpus_hash: str, tokenizer: TokenizerConfig, *, cache: Path
) -> tuple[TokenData, bool]:
    settings = json.dumps([FORMAT, corpus_hash, tokenizer.vocab, tokenizer.train_bytes])
    folder = cache / hashlib.sha256(settings.encode()).hexdigest()[:16]
    if (folder / "tokens.json").exists():
        return load_tokens(folder), True
    bpe = train_tokenizer(_training_pieces(portions, tokenizer.train_bytes), tokenizer)
    serialised = bpe.to_str()
    write_text(folder / "tokenizer.json", serialised)
    train = write_shard(folder, "train", [portion.split.train for portion in portions], bpe)
    valid = write_shard(folder, "valid", [portion.split.valid for portion in portions], bpe)
    parts = [
        PartTokens(portion.name, portion.share, *sizes)
        for portion, *sizes in zip(portions, (n for n, _ in train), (n for n, _ in valid), strict=True)
    ]
    record = {
        "vocab": bpe.get_vocab_size(),
        "train_tokens": sum(part.train_tokens for part in parts),
        "valid_tokens": sum(part.valid_tokens for part in parts),
        "tokens_per_byte": _tokens_per_byte(portions, valid),
        "corpus_hash": corpus_hash,
        "tokenizer_hash": hashlib.sha256(serialised.encode()).hexdigest()[:16],
        "replaced": sum(portion.split.replaced for portion in portions),
        "damaged_documents": sum(portion.split.damaged_documents for portion in portions),
        "parts": [asdict(part) for part in parts] if len(parts) > 1 else [],
    }
    write_json(folder / "tokens.json", record)
    return load_tokens(folder), False


def _tokens_per_byte(portions: list[Portion], valid: list[tuple[int, int]]) -> float:
    """Of the validation text; of a mixture, where each part has its share of the tokens."""
    if len(valid) == 1:
        return valid[0][0] / valid[0][1]
    return 1 / sum(portion.share * size / count for portion, (count, size) in zip(portions, valid, strict=True))


def _training_pieces(portions: list[Portion], limit: int) -> Iterator[str]:
    """Text for the tokenizer, of each part by its share."""
    for portion in portions:
        yield from _first(_spread_pieces(portion.split.train), math.ceil(limit * portion.share))


def tokens_of(folder: Path) -> Path:
    """The folder of tokens that a run's folder names in its record, or `folder` where it holds tokens itself.

    Raises `UserError` where it is neither.
    """
    if (folder / "tokens.json").exists():
        return folder
    try:
        return Path(json.loads((folder / "run.json").read_text(encoding="utf-8"))["config"]["tokens"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} is no folder of tokens, and has no run.json that names one.") from error


def load_tokens(folder: Path) -> TokenData:
    """Open a folder that `prepare_tokens` wrote. Raises `UserError` where it is damaged."""
    try:
        record = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
        parts = tuple(PartTokens(**part) for part in record.pop("parts"))
        data = TokenData(folder=folder, parts=parts, **record)
        sizes = (len(data.train()), len(data.valid()))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"The token cache {folder} is damaged ({error}): delete it and run again.") from error
    if sizes != (data.train_tokens, data.valid_tokens):
        raise UserError(f"The token cache {folder} is damaged (a shard has the wrong length): delete it and run again.")
    return data


def train_tokenizer(pieces: Iterator[str], config: TokenizerConfig) -> Tokenizer:
    """Train a byte-level BPE (Radford et al. 2019) on `pieces`."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END_OF_DOCUMENT],
        show_progress=False,
    )
    bpe.train_from_iterator(pieces, trainer)
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
        yield clean(side.spool.piece(int(first[document]) + wanted - int(before[document])))
