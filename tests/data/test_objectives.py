"""What every objective has in common: batches by position, no token of the future in the inputs, honest refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from isoflop.data import OBJECTIVES, Source, TokenizerConfig, Vocabulary, objective, validation_of, with_special_tokens
from isoflop.data.shards import END_OF_DOCUMENT
from isoflop.data.tokens import train_tokenizer
from isoflop.errors import UserError
from isoflop.models import IGNORED, Batch
from isoflop.shapes import ModelShape

WORDS = ["the", "cat", "sat", "on", "a", "mat", "while", "seven", "quick", "foxes", "jumped", "over", "it", "again"]
CONTEXT, BATCH = 32, 4


@pytest.fixture(scope="session")
def bpe() -> Tokenizer:
    return train_tokenizer(iter([" ".join(WORDS) * 20]), TokenizerConfig(vocab=300))


@pytest.fixture(scope="session")
def text(bpe: Tokenizer) -> np.ndarray:
    """Forty documents of ten to three hundred words, each with its end mark."""
    draw = np.random.default_rng(0)
    documents = [" ".join(draw.choice(WORDS, draw.integers(10, 300))) for _ in range(40)]
    end = bpe.token_to_id(END_OF_DOCUMENT)
    return np.concatenate([[*bpe.encode(one).ids, end] for one in documents]).astype(np.uint16)


def source_of(name: str, bpe: Tokenizer, text: np.ndarray, *, seed: int = 0) -> Source:
    vocabulary = Vocabulary.of(bpe, objective(name).special_tokens(CONTEXT))
    draw = np.random.default_rng(1)
    pairs = [
        tuple((*draw.integers(1, 300, draw.integers(1, 20)).tolist(), vocabulary.end) for _ in range(2))
        for _ in range(30)
    ]
    return Source(text, vocabulary, CONTEXT, BATCH, seed, pairs=pairs)  # type: ignore[arg-type]


def parts(batch: Batch) -> list[torch.Tensor]:
    return [part for part in batch if part is not None]


def same(one: Batch, other: Batch) -> bool:
    return all(a.shape == b.shape and bool((a == b).all()) for a, b in zip(parts(one), parts(other), strict=True))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_batch_depends_on_seed_and_step_alone(name: str, bpe: Tokenizer, text: np.ndarray) -> None:
    one, other = (objective(name).loader(source_of(name, bpe, text)) for _ in range(2))
    for step in (9, 0, 5):
        one.at(step)
    assert same(one.at(3), other.at(3))
    assert not same(one.at(3), other.at(4))
    assert not same(one.at(3), objective(name).loader(source_of(name, bpe, text, seed=1)).at(3))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_part_is_made_of_numbers_that_a_model_can_read(name: str, bpe: Tokenizer, text: np.ndarray) -> None:
    source = source_of(name, bpe, text)
    batch = objective(name).loader(source).at(2)
    assert all(part.dtype == torch.int64 and len(part) == BATCH for part in parts(batch))
    assert batch.inputs.shape == batch.targets.shape
    assert max(part.shape[-1] for part in (batch.inputs, batch.source) if part is not None) <= CONTEXT
    for tokens in (batch.inputs, batch.targets[batch.targets != IGNORED], batch.source):
        if tokens is not None:
            assert tokens.min() >= 0
            assert tokens.max() < source.vocabulary.size
    assert (batch.targets != IGNORED).any(dim=1).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_validation_is_the_same_whatever_the_seed_and_never_more_than_there_is(
    name: str, bpe: Tokenizer, text: np.ndarray
) -> None:
    few = [validation_of(objective(name), source_of(name, bpe, text, seed=s), count=7) for s in (0, 1)]
    assert same(*few)
    assert len(few[0].inputs) == 7
    everything = validation_of(objective(name), source_of(name, bpe, text), count=10**6)
    assert 10 < len(everything.inputs) < 1000


def test_too_little_validation_text_is_refused(bpe: Tokenizer, text: np.ndarray) -> None:
    source = dataclasses.replace(source_of("masked", bpe, text), tokens=text[:9])
    with pytest.raises(UserError, match=r"validation side: The text has 9 tokens"):
        validation_of(objective("masked"), source, count=4)


def test_special_tokens_come_behind_the_text_s_and_change_none_of_them(bpe: Tokenizer) -> None:
    specials = objective("span").special_tokens(CONTEXT)
    extended = with_special_tokens(bpe, specials)
    vocabulary = Vocabulary.of(bpe, specials)
    assert extended.get_vocab_size() == vocabulary.size == bpe.get_vocab_size() + len(specials)
    assert [extended.token_to_id(name) for name in specials] == [vocabulary.number(name) for name in specials]
    assert extended.encode("the cat sat").ids == bpe.encode("the cat sat").ids
    assert bpe.token_to_id("[PAD]") is None


def shape(**changes: object) -> ModelShape:
    fields = {"layers": 1, "width": 8, "heads": 2, "vocab": 310, "context": CONTEXT, "ffn": 16}
    return ModelShape(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_model_that_cannot_learn_by_an_objective_is_refused_with_what_to_change(bpe: Tokenizer) -> None:
    masked, plain = Vocabulary.of(bpe, objective("masked").special_tokens(CONTEXT)), Vocabulary.of(bpe)
    objective("causal").check(shape(), plain)
    objective("masked").check(shape(stack="encoder"), masked)
    with pytest.raises(UserError, match=r"'masked' is for the stack 'encoder', the shape's is 'decoder'.*causal"):
        objective("masked").check(shape(), masked)
    with pytest.raises(UserError, match=r"needs shape.segments = 2 and shape.pooler = true"):
        objective("next-sentence").check(shape(stack="encoder"), masked)
    with pytest.raises(UserError, match=r"shape.vocab is 300.*300 entries.*adds 4: set shape.vocab to 304"):
        objective("masked").check(shape(stack="encoder", vocab=300), masked)
    with pytest.raises(UserError, match=r"No objective is called 'cloze'"):
        objective("cloze")


def test_packed_documents_are_what_each_would_be_alone(bpe: Tokenizer, text: np.ndarray) -> None:
    """Every token of the text is predicted exactly once, and a token's document begins at the end mark before it."""
    source = source_of("causal-packed", bpe, text)
    loader = objective("causal-packed").loader(source)
    end = source.vocabulary.end
    whole = dataclasses.replace(source, batch=loader.sequences)
    batch = objective("causal-packed").loader(whole).at(0)
    assert batch.documents is not None
    for inputs, targets, documents in zip(
        batch.inputs.tolist(), batch.targets.tolist(), batch.documents.tolist(), strict=True
    ):
        assert inputs[1:] == targets[:-1]
        expected, number = [], 1
        for place, token in enumerate(inputs):
            number += token == end and place > 0
            expected.append(number)
        assert documents == expected
    predicted = np.sort(batch.targets.numpy().ravel())
    assert np.array_equal(predicted, np.sort(text[1 : 1 + len(predicted)]))


def test_a_prefix_is_read_and_only_what_follows_is_predicted(bpe: Tokenizer, text: np.ndarray) -> None:
    loader = objective("prefix").loader(source_of("prefix", bpe, text))
    lengths = []
    for step in range(60):
        batch = loader.at(step)
        assert batch.prefix is not None
        for inputs, targets, prefix in zip(
            batch.inputs.tolist(), batch.targets.tolist(), batch.prefix.tolist(), strict=True
        ):
            asked = [place for place, token in enumerate(targets) if token != IGNORED]
            assert asked == list(range(prefix - 1, CONTEXT))
            assert inputs[prefix:] == targets[prefix - 1 : -1]
            lengths.append(prefix)
    assert (min(lengths), max(lengths)) == (1, CONTEXT - 1)
    assert abs(np.mean(lengths) - CONTEXT / 2) < 4 * np.std(lengths) / len(lengths) ** 0.5
