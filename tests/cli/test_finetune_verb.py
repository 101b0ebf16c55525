"""`isoflop finetune` and `predict-text` at the command line: one command, its folder, and mistakes with exit code 2."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from isoflop.training import pretrain, read_plan

PLAN = """
schema = 1
[shape]
layers = 1
width = 16
heads = 2
ffn = 32
vocab = 300
context = 16
[train]
tokens = 1280
batch_tokens = 64
learning_rate = 0.5
evaluations = 1
valid_tokens = 320
[data]
corpus = [{text!r}]
valid_percent = 20
"""
Isoflop = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, study_text: Path, study_environment: dict[str, str]) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "plan.toml").write_text(PLAN.format(text=str(study_text)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", study_environment["XDG_CACHE_HOME"])
        for _ in pretrain(read_plan(folder / "plan.toml"), folder / "run"):
            pass
    return folder / "run" / "model"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    path.write_text("text,label\n" + "".join(f"{'yes oh' if n % 2 else 'no'} {n},{n % 2}\n" for n in range(40)))
    return path


def test_one_command_fine_tunes_and_another_uses_it(isoflop: Isoflop, model: Path, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = isoflop("finetune", model, table, "--test", table, "--out", out, "--lr", "5e-3", "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert "40 train, 40 test texts (column 'text'), 2 labels (column 'label'): 0, 1" in done.stdout
    assert "40 of the 40 texts of test are in train too" in done.stdout
    assert "ECE" in done.stdout
    told = isoflop("predict-text", out, "yes oh 3", "no 4")
    assert told.returncode == 0, told.stderr
    lines = [line.split("\t") for line in told.stdout.splitlines()]
    assert [line[2] for line in lines] == ["yes oh 3", "no 4"]
    assert all(line[0] in "01" and 0.5 <= float(line[1]) <= 1 for line in lines)
    texts = tmp_path / "texts.txt"
    texts.write_text("yes oh 3\nno 4\n")
    assert isoflop("predict-text", out, "--file", texts).stdout == told.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("finetune", "no/such/folder", "{table}", "--test", "{table}"),
            "no/such/folder: name a trained model",
        ),
        (("finetune", "{model}", "none.csv", "--test", "{table}"), "There is no file none.csv"),
        (("finetune", "{model}", "{table}"), "nothing to measure on"),
        (
            ("finetune", "{model}", "{table}", "--test", "{table}", "--text", "words"),
            "choose --text from 'text', 'label'",
        ),
        (("finetune", "{model}", "{table}", "--test", "{table}", "--task", "qa"), "--task is 'qa'"),
        (("finetune", "{model}", "{table}", "--test", "{table}", "--rank", "4"), "are for lora and dora"),
        (("predict-text", "{model}", "a text"), "name a folder that isoflop finetune made"),
        (("predict-text", "{model}", "a text", "--file", "x"), "not both"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], sentence: str, isoflop: Isoflop, model: Path, table: Path
) -> None:
    done = isoflop(*(one.format(model=model, table=table) for one in arguments))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_several_seeds_are_told_in_one_table(isoflop: Isoflop, model: Path, table: Path, tmp_path: Path) -> None:
    settings = ("--method", "prefix", "--prompt-length", 3, "--threads", 1, "--epochs", 1, "--patience", 1)
    asked = ("finetune", model, table, "--dev", table, "--out", tmp_path / "out", "--seeds", "0,1", *settings)
    done = isoflop(*asked)
    assert done.returncode == 0, done.stderr
    assert "seed-1 (2 of 2)" in done.stdout
    assert "mean ± s.d." in done.stdout
    assert "Sample standard deviation over 2" in done.stdout
    assert (tmp_path / "out" / "summary.json").exists()
    told = isoflop("predict-text", tmp_path / "out" / "seed-0", "yes oh 3")
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--seeds", "a,b"), "write numbers with commas between"),
        (("--method", "lora", "--prompt-length", 4), "is for prompts and prefixes"),
        (("--class-weights", "3=2"), "'3', which is no label: they are 0, 1"),
        (("--label-smoothing", 1), "--label-smoothing must be"),
        (("--joint-text", "x.txt"), "add --joint-alpha"),
        (("--patience", 2), "name a table with --dev"),
    ],
)
def test_a_recipe_that_cannot_be_is_a_clear_mistake(
    flags: tuple[object, ...],
    sentence: str,
    model: Path,
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from isoflop.cli import main

    asked = ("isoflop", "finetune", model, table, "--test", table, "--out", tmp_path / "out", *flags)
    monkeypatch.setattr("sys.argv", [str(word) for word in asked])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
