"""The text of a plan, tokenised: both sides of a corpus, or pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isoflop.data import TokenData, TokenizerConfig, Vocabulary, cache_folder, encode_pairs, prepare_tokens, read_pairs
from isoflop.data.corpus import Document, split_documents
from isoflop.data.mixture import Tokens
from isoflop.data.tokens import prepare_split
from isoflop.data.translation import EncodedPair
from isoflop.errors import UserError
from isoflop.training.plan import Plan


@dataclass(frozen=True)
class Text:
    """What a training reads, with the vocabulary of its objective; pairs only for the objective `pairs`."""

    data: TokenData
    vocabulary: Vocabulary
    train: Tokens
    valid: Tokens
    train_pairs: Sequence[EncodedPair] = ()
    valid_pairs: Sequence[EncodedPair] = ()

    @property
    def hash(self) -> str:
        """Of the text and its tokenizer."""
        return f"{self.data.corpus_hash}-{self.data.tokenizer_hash}"


def read_text(plan: Plan) -> Text:
    """Read and tokenise what `plan` trains on, or find it in the cache.

    Raises `UserError` for text that is missing, empty or damaged.
    """
    config = TokenizerConfig(plan.vocab, plan.data.tokenizer_bytes)
    if plan.train.objective == "pairs":
        if plan.data.mixture:
            raise UserError("The objective 'pairs' reads one corpus of pairs, and no mixture: take data.mixture out.")
        return _pairs(plan, config)
    data, _ = prepare_tokens(plan.data.corpus_config(), config, cache=cache_folder())
    return Text(data, Vocabulary.of(data.tokenizer(), plan.special_tokens), data.train(), data.valid())


def _pairs(plan: Plan, config: TokenizerConfig) -> Text:
    """Pairs, split as documents are: a pair that stands there twice is on one side alone."""
    pairs = read_pairs([Path(path).expanduser() for path in plan.data.corpus], columns=plan.data.pair_columns)
    if len(pairs) < 2:
        raise UserError(f"{plan.data.corpus[0]} holds one pair: at least two are needed, one for validation.")
    documents = [Document(str(number), "\n".join(pair), 0) for number, pair in enumerate(pairs)]
    split = split_documents(documents, plan.data.valid_percent, folder=cache_folder())
    data, _ = prepare_split(split, config, cache=cache_folder())
    tokenizer = data.tokenizer()
    vocabulary = Vocabulary.of(tokenizer, plan.special_tokens)
    train, valid = (
        encode_pairs([pairs[int(one.name)] for one in side], tokenizer, context=plan.shape.context, end=vocabulary.end)
        for side in (split.train, split.valid)
    )
    return Text(data, vocabulary, data.train(), data.valid(), train, valid)
