"""`isoflop export` and `isoflop import`: folder to folder, and a sentence for what can't be."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from isoflop.cli.app import app
from isoflop.data.tokens import TokenizerConfig, train_tokenizer
from isoflop.errors import UserError
from isoflop.models import Batch, build_model, load_model, parametrization, save_model
from isoflop.models.storage import write_weights
from isoflop.shapes import ModelShape

SHAPE = ModelShape(layers=1, width=16, heads=2, vocab=300, context=16, ffn=40, norm="plain", tied=True)


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, as training leaves it."""
    train_tokenizer(iter(["some words"] * 9), TokenizerConfig(vocab=262)).save(str(tmp_path / "tokenizer.json"))
    model, _ = build_model(SHAPE, parametrization("u-mup"), base=SHAPE, seed=0)
    out = tmp_path / "model"
    save_model(
        out, model, parametrization="u-mup", base=None, objective="causal", tokenizer=tmp_path / "tokenizer.json"
    )
    return out


def test_a_model_goes_out_and_comes_in_again(folder: Path, tmp_path: Path) -> None:
    said = run("export", folder)
    out = folder / "hugging_face"
    assert said == f"{out}: LlamaForCausalLM, 7,744 parameters, with its tokenizer\n"
    assert names(out) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    back, again = tmp_path / "back", tmp_path / "again"
    assert "decoder, 1 layers of width 16, vocabulary 300" in run("import", out, "--out", back)
    assert load_model(back)[1].tokenizer == back / "tokenizer.json"
    run("export", back, "--out", again)
    assert (again / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


def names(folder: Path) -> Sequence[str]:
    return sorted(path.name for path in folder.iterdir())


PLAN = """
schema = 1
[shape]
layers = 1
width = 16
heads = 2
ffn = 32
vocab = 300
context = 16
norm = "plain"
[train]
tokens = 12800
batch_tokens = 64
learning_rate = 0.5
valid_tokens = 320
[data]
corpus = [{text!r}]
valid_percent = 20
"""


def test_what_training_left_is_what_transformers_computes(
    tmp_path: Path, study_text: Path, isoflop: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.format(text=str(study_text)))
    trained = tmp_path / "trained"
    done = isoflop("train", tmp_path / "plan.toml", "--out", trained, "--threads", 1)
    assert done.returncode == 0, done.stderr
    run("export", trained)
    tokenizer = AutoTokenizer.from_pretrained(trained / "hugging_face")
    ids = tokenizer("rates the others 世界", return_tensors="pt")["input_ids"][:, :16]
    theirs = AutoModelForCausalLM.from_pretrained(trained / "hugging_face")
    with torch.no_grad():
        ours = load_model(trained / "model")[0](Batch(ids, ids))
        assert (ours - theirs(ids).logits).abs().max() <= 1e-4


def test_nothing_is_written_over(folder: Path, tmp_path: Path) -> None:
    run("export", folder)
    with pytest.raises(UserError, match="there already"):
        run("export", folder)
    with pytest.raises(UserError, match="holds a model already"):
        run("import", folder / "hugging_face", "--out", folder)


def test_a_folder_without_weights_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no model\.json"):
        run("export", tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="kept no weights"):
        run("export", tmp_path)
    assert names(tmp_path) == ["run.json"]


def test_a_head_that_stays_behind_is_told(folder: Path) -> None:
    (folder / "task.json").write_text('{"schema": 1, "task": "classify"}')
    write_weights(folder / "head.safetensors", {"weight": torch.zeros(2, 16)})
    assert "Note: the head of the task 'classify' (head.safetensors) stays behind" in run("export", folder)


def test_what_is_no_checkpoint_is_not_imported(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^There is no .*nothing: name the folder"):
        run("import", tmp_path / "nothing", "--out", tmp_path / "out")
    with pytest.raises(UserError, match="is no Hugging Face checkpoint"):
        run("import", folder, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
