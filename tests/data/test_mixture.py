"""A mixture's shares are met by counting, whatever the batch; parts do not touch, and each is visited evenly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from isoflop.data import CausalBatches, CorpusConfig, MixturePart, TokenizerConfig, prepare_tokens, validation_batch
from isoflop.data.mixture import MixedTokens, uses
from isoflop.data.order import PERIOD, Turns, largest_remainder
from isoflop.errors import UserError
from isoflop.settings import settings_of
from isoflop.study.config import StudyConfig
from isoflop.training.plan import DataSettings


def mixed(sizes: tuple[int, ...], shares: tuple[float, ...]) -> MixedTokens:
    """Part p has the tokens p * 1,000,000, p * 1,000,000 + 1, …"""
    tokens = np.concatenate([part * 1_000_000 + np.arange(size) for part, size in enumerate(sizes)]).astype(np.uint32)
    return MixedTokens(tokens, tuple(np.cumsum(sizes).tolist()), shares, tuple(f"part {p}" for p in range(len(sizes))))


@pytest.mark.parametrize("shares", [(0.7, 0.3), (0.5, 0.3, 0.2), (0.001, 0.999), (1 / 3,) * 3, (0.62, 0.31, 0.07)])
def test_turns_have_the_shares_and_lie_evenly(shares: tuple[float, ...]) -> None:
    turns = Turns(shares)
    given = [0] * len(shares)
    for place in range(2 * PERIOD + 77):
        part, before = turns.at(place)
        assert before == given[part]
        given[part] += 1
        assert all(abs(n - (place + 1) * c / PERIOD) < 1.01 for n, c in zip(given, turns.counts, strict=True))
    assert turns.taken(2 * PERIOD + 77) == given
    assert turns.taken(PERIOD) == largest_remainder(shares, PERIOD)


def test_batches_have_the_shares_and_no_sequence_lies_in_two_parts() -> None:
    batches = CausalBatches(mixed((10_001, 2_003), (0.75, 0.25)), context=10, batch=16, seed=3)
    for step in range(100):
        inputs = batches.at(step).inputs.numpy()
        assert Counter((inputs[:, 0] // 1_000_000).tolist()) == {0: 12, 1: 4}
        assert (np.diff(inputs, axis=1) == 1).all()


def test_each_part_shows_all_its_sequences_before_it_begins_again() -> None:
    batches = CausalBatches(mixed((10_001, 2_003), (0.75, 0.25)), context=10, batch=16, seed=3)
    firsts = np.concatenate([batches.at(step).inputs[:, 0].numpy() for step in range(100)])
    small, large = firsts[firsts >= 1_000_000], firsts[firsts < 1_000_000]
    assert len(set(small[:200].tolist())) == 200
    assert len(set(small[200:400].tolist())) == 200
    assert len(set(large[:1000].tolist())) == 1000
    assert batches.sequences == 800  # the small part is through after 200 of its own, a quarter of these


def test_a_batch_is_a_function_of_seed_and_step_alone() -> None:
    tokens = mixed((10_001, 2_003), (0.7, 0.3))
    one, other = (CausalBatches(tokens, context=10, batch=8, seed=5) for _ in range(2))
    one.at(7)
    assert (one.at(3_000_000).inputs == other.at(3_000_000).inputs).all()
    assert not (one.at(3).inputs == CausalBatches(tokens, context=10, batch=8, seed=6).at(3).inputs).all()
    rows = one.at(11).inputs[:, 0].tolist()
    assert tokens.tokens[one.starts(11)].tolist() == rows


def test_validation_has_the_shares_of_training() -> None:
    batch = validation_batch(mixed((100_001, 2_001), (0.75, 0.25)), context=10, count=100)
    assert Counter((batch.inputs[:, 0] // 1_000_000).tolist()) == {0: 75, 1: 25}
    few = validation_batch(mixed((100_001, 101), (0.75, 0.25)), context=10, count=100)
    assert Counter((few.inputs[:, 0] // 1_000_000).tolist()) == {0: 30, 1: 10}


def test_what_a_run_sees_of_each_part_is_counted() -> None:
    large, small = uses([("a", 0.7, 10**6), ("b", 0.3, 1000)], sequences=1000, context=10)
    assert (large.tokens, large.unique, large.epochs) == (7000, 7000, 0.007)
    assert (small.tokens, small.unique, small.epochs) == (3000, 1000, 3.0)


@pytest.fixture
def mixture(tmp_path: Path) -> CorpusConfig:
    for name, words in (("prose", "the quick brown fox"), ("code", "def f(x): return x")):
        (tmp_path / name).mkdir()
        for number in range(40):
            (tmp_path / name / f"{number}.txt").write_text(f"{words} {number} " * (20 if name == "prose" else 5))
    parts = (MixturePart(0.6, (str(tmp_path / "prose"),)), MixturePart(0.2, (str(tmp_path / "code"),)))
    return CorpusConfig(mixture=parts, valid_percent=25)


def test_a_mixture_is_tokenised_by_one_tokenizer_into_one_shard(mixture: CorpusConfig, tmp_path: Path) -> None:
    data, _ = prepare_tokens(mixture, TokenizerConfig(vocab=300), cache=tmp_path / "cache")
    again, cached = prepare_tokens(mixture, TokenizerConfig(vocab=300), cache=tmp_path / "cache")
    assert cached
    assert again == data
    assert [part.share for part in data.parts] == pytest.approx([0.75, 0.25])
    assert sum(part.train_tokens for part in data.parts) == data.train_tokens == len(data.shard("train"))
    start = data.parts[0].train_tokens
    assert "def f(x)" in data.tokenizer().decode(data.shard("train")[start : start + 30].tolist())
    assert "quick" in data.tokenizer().decode(data.shard("train")[start - 30 : start].tolist())


def test_every_token_leads_back_to_its_document(mixture: CorpusConfig, tmp_path: Path) -> None:
    data, _ = prepare_tokens(mixture, TokenizerConfig(vocab=300), cache=tmp_path / "cache")
    bpe = data.tokenizer()
    for side in ("train", "valid"):
        shard = data.shard(side)
        first_code = getattr(data.parts[0], f"{side}_tokens")
        for place in range(0, len(shard), 7):
            origin = data.origin(side, place)
            start = place - origin.offset
            folder = "prose" if start < first_code else "code"
            text = (tmp_path / folder / origin.document).read_text()
            assert bpe.encode(text).ids == shard[start : start + len(bpe.encode(text).ids)].tolist()
            assert origin.offset <= len(bpe.encode(text).ids)
    with pytest.raises(UserError, match="there is none"):
        data.origin("valid", data.valid_tokens)


def test_a_plan_names_a_mixture_and_its_mistakes_by_key(tmp_path: Path) -> None:
    parts = [{"paths": ["a.txt"], "weight": 3}, {"dataset": "NAME", "weight": 1.0}]
    config = settings_of(DataSettings, {"mixture": parts}, source="plan").corpus_config()
    assert [part.name for part in config.mixture or ()] == ["a.txt", "NAME"]
    study = settings_of(StudyConfig, {"corpus": {"mixture": parts}}, source="study")
    assert study.corpus == CorpusConfig(mixture=config.mixture)
    mistakes = [
        ({"mixture": [{"paths": ["a"], "wait": 1}]}, "unknown key mixture.wait"),
        ({"mixture": [{"paths": ["a"], "weight": 0.0}]}, "above 0"),
        ({"mixture": [{"weight": 1.0}]}, "names no text"),
        ({"mixture": {"weight": 1.0}}, "list of sections"),
    ]
    for content, message in mistakes:
        with pytest.raises(UserError, match=message):
            settings_of(DataSettings, content, source="plan")
    with pytest.raises(UserError, match="text beside it"):
        settings_of(DataSettings, {"mixture": parts, "corpus": ["b"]}, source="plan").corpus_config()


def test_a_share_too_small_and_a_part_too_short_are_refused() -> None:
    with pytest.raises(UserError, match="less than one in 10,000"):
        CausalBatches(mixed((1000, 1000), (0.99999, 0.00001)), context=10, batch=1, seed=0)
    with pytest.raises(UserError, match="'part 1' of the mixture has 5 tokens"):
        CausalBatches(mixed((1000, 5), (0.5, 0.5)), context=10, batch=1, seed=0)
