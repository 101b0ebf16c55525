"""Corpora, tokenizers, token shards and batches. Knows of models only the `Batch` that they read."""

from isoflop.data.batches import CausalBatches, validation_batch
from isoflop.data.corpus import CorpusConfig, read_corpus
from isoflop.data.tokens import TokenData, TokenizerConfig, load_tokens, prepare_tokens

__all__ = [
    "CausalBatches",
    "CorpusConfig",
    "TokenData",
    "TokenizerConfig",
    "load_tokens",
    "prepare_tokens",
    "read_corpus",
    "validation_batch",
]
