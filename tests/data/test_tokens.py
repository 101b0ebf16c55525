"""Tokens come back as the text they were made from, are cached by content, and damage is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isoflop.data import CausalBatches, CorpusConfig, TokenizerConfig, load_tokens, prepare_tokens, validation_batch
from isoflop.data.shards import END_OF_DOCUMENT
from isoflop.data.spool import PIECE_CHARACTERS
from isoflop.errors import UserError


@pytest.fixture
def corpus(tmp_path: Path) -> CorpusConfig:
    folder = tmp_path / "text"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.txt").write_text(
            f"Grüße, 世界, number {number}! " * (5 * PIECE_CHARACTERS // 100 if number == 3 else 9)
        )
    return CorpusConfig(paths=(str(folder),), valid_percent=25)


def test_tokens_decode_to_the_documents(corpus: CorpusConfig, tmp_path: Path) -> None:
    data, cached = prepare_tokens(corpus, TokenizerConfig(vocab=400), cache=tmp_path / "cache")
    assert not cached
    texts = data.tokenizer().decode(data.train().tolist(), skip_special_tokens=False).split(END_OF_DOCUMENT)
    written = {path.read_text() for path in Path(corpus.paths[0]).iterdir()}
    assert texts.pop() == ""
    assert set(texts) < written
    n_bytes = sum(len(text.encode()) for text in written - set(texts))
    assert data.tokens_per_byte == pytest.approx(data.valid_tokens / n_bytes)


def test_a_second_run_finds_the_tokens_and_changed_text_does_not(corpus: CorpusConfig, tmp_path: Path) -> None:
    first, _ = prepare_tokens(corpus, TokenizerConfig(vocab=400), cache=tmp_path / "cache")
    again, cached = prepare_tokens(corpus, TokenizerConfig(vocab=400), cache=tmp_path / "cache")
    assert cached
    assert again == first
    (Path(corpus.paths[0]) / "1.txt").write_text("changed")
    assert not prepare_tokens(corpus, TokenizerConfig(vocab=400), cache=tmp_path / "cache")[1]
    assert not prepare_tokens(corpus, TokenizerConfig(vocab=300), cache=tmp_path / "cache")[1]


def test_a_truncated_shard_is_noticed(corpus: CorpusConfig, tmp_path: Path) -> None:
    data, _ = prepare_tokens(corpus, TokenizerConfig(vocab=400), cache=tmp_path / "cache")
    shard = data.folder / "train.bin"
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(UserError, match="damaged"):
        load_tokens(data.folder)


def test_a_vocabulary_below_the_bytes_is_refused() -> None:
    with pytest.raises(UserError, match="at least 257"):
        TokenizerConfig(vocab=256)


def test_an_epoch_shows_each_predicted_token_once_and_the_next_epoch_another_order() -> None:
    batches = CausalBatches(np.arange(1001, dtype=np.uint16), context=10, batch=4, seed=0)
    epochs = [[batches.at(25 * epoch + step).targets for step in range(25)] for epoch in range(2)]
    for epoch in epochs:
        seen = np.concatenate([targets.numpy().ravel() for targets in epoch])
        assert sorted(seen.tolist()) == list(range(1, 1001))
    assert not np.array_equal(epochs[0][0].numpy(), epochs[1][0].numpy())


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    tokens = np.arange(1001, dtype=np.uint16)
    one, other = (CausalBatches(tokens, context=10, batch=4, seed=5) for _ in range(2))
    one.at(30)
    inputs, targets = one.at(3)[:2]
    assert (inputs == other.at(3).inputs).all()
    assert (targets == inputs + 1).all()
    assert not (inputs == CausalBatches(tokens, context=10, batch=4, seed=6).at(3).inputs).all()


def test_validation_windows_are_spread_over_the_whole_text() -> None:
    batch = validation_batch(np.arange(1001, dtype=np.uint16), context=10, count=5)
    assert batch.inputs[:, 0].tolist() == [0, 250, 500, 740, 990]
    assert validation_batch(np.arange(1001, dtype=np.uint16), context=10, count=500).targets.shape == (100, 10)


def test_too_little_text_is_refused() -> None:
    with pytest.raises(UserError, match="less than one batch"):
        CausalBatches(np.arange(39, dtype=np.uint16), context=10, batch=4, seed=0)
    with pytest.raises(UserError, match="less than one sequence"):
        validation_batch(np.arange(9, dtype=np.uint16), context=10, count=1)


@pytest.mark.parametrize("steps", [5, 20, 60])
def test_any_prefix_of_an_epoch_is_spread_over_the_whole_text(steps: int) -> None:
    """No gap between visited windows exceeds three mean gaps; a random order leaves gaps of ln n."""
    batches = CausalBatches(np.arange(40_001, dtype=np.uint16), context=10, batch=16, seed=3)
    starts = np.sort(np.concatenate([batches.at(step).inputs[:, 0].numpy() for step in range(steps)]))
    gaps = np.diff(np.append(starts, starts[0] + 40_000))
    assert gaps.max() <= 3 * 40_000 / (16 * steps)
