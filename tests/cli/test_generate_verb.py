"""`isoflop generate`: a line for each answer, the same for a folder of ours and its export, sentences for mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from isoflop.cli.app import app
from isoflop.data.tokens import TokenizerConfig, train_tokenizer
from isoflop.errors import UserError
from isoflop.models import build_model, parametrization, save_model, to_hugging_face
from isoflop.shapes import ModelShape

SHAPE = ModelShape(layers=1, width=16, heads=2, vocab=262, context=32, ffn=40)


def run(*arguments: object, given: str | None = None) -> list[str]:
    done = CliRunner().invoke(app, ["generate", *map(str, arguments)], input=given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of ours, and its export in the folder `hf` inside."""
    place = tmp_path_factory.mktemp("generate")
    train_tokenizer(iter(["some words"] * 9), TokenizerConfig(vocab=262)).save(str(place / "tokenizer.json"))
    model, _ = build_model(SHAPE, parametrization("u-mup"), base=SHAPE, seed=0)
    save_model(
        place / "model",
        model,
        parametrization="u-mup",
        base=None,
        objective="causal",
        tokenizer=place / "tokenizer.json",
    )
    to_hugging_face(model, place / "hf", tokenizer=place / "tokenizer.json")
    return place


def test_prompts_from_the_command_a_file_and_standard_input_have_the_same_answers(folder: Path) -> None:
    prompts = ["some", "words here"]
    (folder / "prompts.txt").write_text("".join(f"{prompt}\n" for prompt in prompts))
    first = run(folder, *prompts, "--max-tokens", 6)
    assert len(first) == 2
    assert run(folder, "--file", folder / "prompts.txt", "--max-tokens", 6) == first
    assert run(folder, "--max-tokens", 6, given="some\nwords here\n") == first
    assert run(folder / "hf", *prompts, "--max-tokens", 6) == first
    assert run(folder, *prompts, "--max-tokens", 6, "--beams", 1) == first


def test_samples_follow_their_seed_and_json_says_what_ended_them(folder: Path) -> None:
    how = ("--temperature", 1.5, "--top-k", 50, "--top-p", 0.9, "--samples", 3, "--max-tokens", 5, "--json")
    rows = [json.loads(line) for line in run(folder, "some", *how)]
    assert [json.loads(line) for line in run(folder, "some", *how, "--seed", 0)] == rows
    assert [json.loads(line) for line in run(folder, "some", *how, "--seed", 1)] != rows
    assert len({row["text"] for row in rows}) == 3
    assert all(row["prompt"] == "some" and row["ended"] in ("length", "stop") for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["some", "--top-k", 3], "--top-k is for drawing"),
        (["some", "--seed", 3], "--seed is for drawing"),
        (["some", "--temperature", 1, "--beams", 2], "give one of them"),
        (["some", "--length-penalty", 2], "is for --beams"),
        (["some", "--samples", 2], "give a --temperature"),
        (["some", "--samples", 0], "at least 1"),
        (["some", "--temperature", -1], "above 0"),
        (["some", "--max-tokens", 0], "at least 1"),
        (["some", "--chat"], "no chat template"),
        (["some", "--file", "nowhere"], "not both"),
        (["--file", "nowhere"], "can't be read"),
        (["word " * 40], "context is 32: shorten it"),
    ],
)
def test_what_can_not_be_is_told_in_a_sentence(folder: Path, arguments: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(folder, *arguments)


def test_a_folder_without_a_model_and_an_empty_line_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither model"):
        run(tmp_path, "some")
    with pytest.raises(UserError, match="no folder"):
        run(tmp_path / "none", "some")
    with pytest.raises(UserError, match="line 2: the prompt is empty"):
        run(folder, given="some\n\nwords\n")
    with pytest.raises(UserError, match="There is no prompt"):
        run(folder, given="")
