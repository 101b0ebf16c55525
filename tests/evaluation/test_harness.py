"""The harness runs tasks of the user's own offline, its figures get intervals, and its likelihoods are ours."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.conftest import CONTEXT, TEXT

from isoflop.errors import UserError
from isoflop.evaluation.evaluate_text import evaluate_text
from isoflop.evaluation.harness import evaluate_harness
from isoflop.evaluation.intervals import Resampling
from isoflop.evaluation.language_model import read_language_model
from isoflop.evaluation.perplexity import Reading, measure_text
from isoflop.evaluation.texts import Document, Texts

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed (isoflop[harness])")
QUICK = Resampling(draws=300)
SHARED = """
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
"""
CHOICE = """
task: local_choice
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
ROLLING = """
task: local_text
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - metric: bits_per_byte
  - metric: byte_perplexity
"""
CONTENTS = [TEXT[at : at + 20 + 9 * at] for at in range(14)]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {"question": f"the dog {at}", "choices": ["fox", "明月", "lazy"], "answer": at % 3, "text": text}
        for at, text in enumerate(CONTENTS)
    ]
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name, task in (("choice", CHOICE), ("text", ROLLING)):
        (folder / f"{name}.yaml").write_text(task + SHARED.format(data=folder / "data.jsonl"))
    return folder


def test_bits_per_byte_are_ours(decoder: Path, tasks: Path) -> None:
    """The texts are up to six windows long; a stride of a whole window is what the harness does."""
    theirs = evaluate_harness(decoder / "model", ["local_text"], folder=tasks, resampling=QUICK)
    texts = Texts(tuple(Document(str(at), one) for at, one in enumerate(CONTENTS)), 0, False)
    ours = evaluate_text(decoder / "hf", texts, reading=Reading(stride=CONTEXT), resampling=QUICK)
    model = read_language_model(decoder / "model")
    measured = measure_text(model, texts, reading=Reading(stride=CONTEXT))
    found = theirs["local_text: bits_per_byte"]
    tokens_per_byte = measured.tokens.sum() / measured.units.bytes.sum()
    nats = abs(found.of[0].value - ours["bits per byte"].of[0].value) * math.log(2) / tokens_per_byte
    assert nats < 1e-3
    assert found.examples == len(CONTENTS)
    assert found.of[0].low is not None
    assert found.of[0].low < found.of[0].value


def test_a_choice_is_made_by_likelihoods_that_are_ours(decoder: Path, tasks: Path) -> None:
    found = evaluate_harness(decoder / "hf", [str(tasks / "choice.yaml")], resampling=QUICK)
    model = read_language_model(decoder / "model")

    def nats(text: str) -> float:
        return float(measure_text(model, Texts((Document("", text),), 0, False)).nats.sum())

    right = []
    for at in range(len(CONTENTS)):
        costs = [nats(f"the dog {at} {choice}") for choice in ("fox", "明月", "lazy")]
        right.append(int(np.argmin(costs)) == at % 3)
    assert found["local_choice: acc"].of[0].value == pytest.approx(np.mean(right))


def test_two_models_are_compared_by_their_examples(decoder: Path, other_decoder: Path, tasks: Path) -> None:
    found = evaluate_harness(
        decoder / "hf", ["local_choice"], against=other_decoder / "model", folder=tasks, resampling=QUICK
    )
    comparison = found["local_choice: acc"].comparison
    assert comparison is not None
    assert "McNemar" in comparison.test
    first, second = (one.value for one in found["local_choice: acc"].of)
    assert comparison.difference.value == pytest.approx(first - second)


def test_the_most_examples_can_be_said(decoder: Path, tasks: Path) -> None:
    found = evaluate_harness(decoder / "hf", ["local_choice"], folder=tasks, limit=5, resampling=QUICK)
    assert found["local_choice: acc"].examples == 5


def test_mistakes_are_told(decoder: Path, encoder: Path, tasks: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model of isoflop and no Hugging Face checkpoint"):
        evaluate_harness(tmp_path, ["local_choice"], folder=tasks)
    broken = tasks / "broken.yaml"
    broken.write_text((tasks / "choice.yaml").read_text().replace("local_choice", "broken").replace("question", "ask"))
    with pytest.raises(UserError, match="lm_eval could not run"):
        evaluate_harness(decoder / "hf", [str(broken)], resampling=QUICK)
