"""`isoflop prompt` at the command line: a table beside its floor, its folder, and mistakes with exit code 2."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from isoflop.models import build_model, parametrization, save_model
from isoflop.shapes import ModelShape

Isoflop = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An untrained decoder that reads bytes."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(tmp_path / "bytes.json"))
    shape = ModelShape(layers=1, width=16, heads=2, ffn=32, vocab=256, context=64)
    made, _ = build_model(shape, parametrization("sp"), base=shape, seed=0)
    how = {"parametrization": "sp", "base": None, "objective": "causal"}
    save_model(tmp_path / "model", made, tokenizer=tmp_path / "bytes.json", **how)
    return tmp_path / "model"


def test_one_command_measures_a_prompt_beside_its_floor(isoflop: Isoflop, model: Path, tmp_path: Path) -> None:
    table = tmp_path / "train.csv"
    table.write_text("text,label\n" + "".join(f"{'yes' if n % 2 else 'no'} {n},{n % 2}\n" for n in range(12)))
    asked = ("prompt", model, table, "--test", table, "--shots", 2, "--threads", 1, "--out", tmp_path / "out")
    refused = isoflop(*asked)
    assert refused.returncode == 2
    assert "The label '0' is no word: say what it means with --verbalizer" in refused.stderr
    how = ("--verbalizer", "0=bad,1=good", "--template", r"{text}\nIt is", "--calibrate", "context")
    done = isoflop(*asked, *how)
    assert done.returncode == 0, done.stderr
    assert "contextual *" in done.stdout
    assert "12 of the 12 texts of test are in train too" in done.stdout
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(metrics["scores"]["test"]) == {"none", "context", "batch"}
    assert len((tmp_path / "out" / "predictions-test.csv").read_text().splitlines()) == 13
