"""The objectives by name: which stack learns by each, what it adds to the vocabulary, and the loader that makes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from isoflop.data.batches import CausalBatches, PrefixBatches, documents_in, validation_batch
from isoflop.data.masking import MaskedBatches, Masking
from isoflop.data.mixture import Tokens
from isoflop.data.sentence_pairs import SentencePairBatches
from isoflop.data.spans import SpanBatches, SpanCorruption
from isoflop.data.special_tokens import BERT_TOKENS, PAD, Vocabulary, sentinels
from isoflop.data.translation import EncodedPair, PairBatches
from isoflop.errors import UserError
from isoflop.models import Batch
from isoflop.shapes import ModelShape, Stack


class Loader(Protocol):
    """A batch for every step, and how many different sequences there are to see in an epoch."""

    sequences: int

    def at(self, step: int) -> Batch:
        """The batch of `step`, counted from 0."""
        ...


@dataclass(frozen=True)
class Source:
    """What a loader is made of: the text (or pairs) and its vocabulary, the size of a batch, the seed, the device."""

    tokens: Tokens
    vocabulary: Vocabulary
    context: int
    batch: int
    seed: int
    device: str = "cpu"
    pairs: Sequence[EncodedPair] = ()


@dataclass(frozen=True)
class Objective:
    """One way to learn from text: by which stack, from which batches, with which tokens besides the text's own.

    `marks_spans` adds a sentinel for every span of a sequence; with `asks_about_pairs` the model needs two segments
    and a head for the label of a pair.
    """

    name: str
    stack: Stack
    loader: Callable[[Source], Loader]
    adds: tuple[str, ...] = ()
    marks_spans: bool = False
    asks_about_pairs: bool = False

    def special_tokens(self, context: int) -> tuple[str, ...]:
        """What the vocabulary needs besides the text's tokens, at a longest sequence of `context`."""
        if not self.marks_spans:
            return self.adds
        corruption = SpanCorruption()
        return (*self.adds, *sentinels(corruption.sizes(corruption.text_length(context))[1]))

    def check(self, shape: ModelShape, vocabulary: Vocabulary) -> None:
        """Refuse a model that can't learn by this objective, with a sentence that says what to change."""
        if shape.stack != self.stack:
            fitting = ", ".join(one.name for one in OBJECTIVES.values() if one.stack == shape.stack)
            raise UserError(
                f"The objective {self.name!r} is for the stack {self.stack!r}, the shape's is {shape.stack!r}: "
                f"change shape.stack, or choose one of {fitting}."
            )
        if self.asks_about_pairs and (shape.segments < 2 or not shape.pooler):
            raise UserError(f"The objective {self.name!r} needs shape.segments = 2 and shape.pooler = true.")
        if shape.vocab < vocabulary.size:
            added = len(vocabulary.specials)
            raise UserError(
                f"shape.vocab is {shape.vocab}, but the tokenizer has {vocabulary.text_size} entries and the objective "
                f"{self.name!r} adds {added}: set shape.vocab to {vocabulary.size} or more."
            )


def _causal(source: Source) -> CausalBatches:
    return CausalBatches(source.tokens, source.context, source.batch, source.seed, source.device)


def _packed(source: Source) -> CausalBatches:
    return dataclasses.replace(_causal(source), end=source.vocabulary.end)


def _prefix(source: Source) -> PrefixBatches:
    return PrefixBatches(source.tokens, source.context, source.batch, source.seed, source.device)


def _masked(source: Source, *, whole_words: bool = False) -> MaskedBatches:
    masking = Masking(whole_words=whole_words)
    sizes = (source.context, source.batch, source.seed)
    return MaskedBatches(source.tokens, *sizes, source.vocabulary, source.device, masking)


def _next_sentence(source: Source) -> SentencePairBatches:
    sizes = (source.context, source.batch, source.seed)
    return SentencePairBatches(source.tokens, *sizes, source.vocabulary, "next", source.device)


def _sentence_order(source: Source) -> SentencePairBatches:
    return dataclasses.replace(_next_sentence(source), question="order")


def _spans(source: Source) -> SpanBatches:
    return SpanBatches(source.tokens, source.context, source.batch, source.seed, source.vocabulary, source.device)


def _pairs(source: Source) -> PairBatches:
    return PairBatches(source.pairs, source.batch, source.seed, source.vocabulary, source.device)


_ALL = (
    Objective("causal", "decoder", _causal),
    Objective("causal-packed", "decoder", _packed),
    Objective("prefix", "decoder", _prefix),
    Objective("masked", "encoder", _masked, BERT_TOKENS),
    Objective("masked-words", "encoder", lambda source: _masked(source, whole_words=True), BERT_TOKENS),
    Objective("next-sentence", "encoder", _next_sentence, BERT_TOKENS, asks_about_pairs=True),
    Objective("sentence-order", "encoder", _sentence_order, BERT_TOKENS, asks_about_pairs=True),
    Objective("span", "encoder_decoder", _spans, (PAD,), marks_spans=True),
    Objective("pairs", "encoder_decoder", _pairs, (PAD,)),
)
OBJECTIVES: Mapping[str, Objective] = {one.name: one for one in _ALL}


def objective(name: str) -> Objective:
    """The objective called `name`. Raises `UserError` for an unknown one."""
    if name not in OBJECTIVES:
        raise UserError(f"No objective is called {name!r}: choose one of {', '.join(OBJECTIVES)}.")
    return OBJECTIVES[name]


def validation_of(chosen: Objective, source: Source, *, count: int) -> Batch:
    """One batch of `count` sequences of the validation side (all, where there are fewer), whatever the training seed.

    They lie evenly over the text; a causal model gets the windows that a study measures on.
    """
    source = dataclasses.replace(source, seed=0, batch=1)
    if chosen.name.startswith("causal"):
        batch = validation_batch(source.tokens, context=source.context, count=count).to(source.device)
        packed = chosen.name == "causal-packed"
        return batch._replace(documents=documents_in(batch.inputs, source.vocabulary.end)) if packed else batch
    try:
        sequences = chosen.loader(source).sequences
    except UserError as error:
        raise UserError(f"On the validation side: {error}") from error
    return chosen.loader(dataclasses.replace(source, batch=min(count, sequences))).at(0)
