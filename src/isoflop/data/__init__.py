"""Corpora, tokenizers, token shards and batches. Knows of models only the `Batch` that they read."""

from isoflop.data.batches import CausalBatches, PrefixBatches, validation_batch
from isoflop.data.corpus import CorpusConfig, MixturePart, read_corpus
from isoflop.data.masking import MaskedBatches, Masking
from isoflop.data.objectives import OBJECTIVES, Objective, Source, objective, validation_of
from isoflop.data.sentence_pairs import SentencePairBatches
from isoflop.data.shards import Origin
from isoflop.data.spans import SpanBatches, SpanCorruption
from isoflop.data.special_tokens import Vocabulary, with_special_tokens
from isoflop.data.tokens import TokenData, TokenizerConfig, cache_folder, load_tokens, prepare_tokens
from isoflop.data.translation import PairBatches, encode_pairs, read_pairs

__all__ = [
    "OBJECTIVES",
    "CausalBatches",
    "CorpusConfig",
    "MaskedBatches",
    "Masking",
    "MixturePart",
    "Objective",
    "Origin",
    "PairBatches",
    "PrefixBatches",
    "SentencePairBatches",
    "Source",
    "SpanBatches",
    "SpanCorruption",
    "TokenData",
    "TokenizerConfig",
    "Vocabulary",
    "cache_folder",
    "encode_pairs",
    "load_tokens",
    "objective",
    "prepare_tokens",
    "read_corpus",
    "read_pairs",
    "validation_batch",
    "validation_of",
    "with_special_tokens",
]
