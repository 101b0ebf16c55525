"""Long texts are classified by every way through the one engine: trained, saved, loaded, the same predictions."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from isoflop.adaptation import (
    Files,
    Machine,
    Ready,
    Recipe,
    Result,
    finetune,
    load_adapted,
    load_classifier,
    method_named,
    task_named,
)
from isoflop.adaptation.joint import joint_in
from isoflop.adaptation.long_text import WAYS
from isoflop.errors import UserError

FILLER = ("the", "a", "film", "story", "of", "and", "with", "is", "was", "it")


def hidden(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts three times as long as the model, whose label is said by one word in their middle third."""
    draw, rows = random.Random(seed), []
    for number in range(count):
        words = draw.choices(FILLER, k=36)
        words[draw.randint(14, 20)] = "zzz" if number % 2 else "qqq"
        rows.append((" ".join(words), "z" if number % 2 else "q"))
    return rows


@pytest.fixture(scope="module")
def long_files(tmp_path_factory: pytest.TempPathFactory, write_table: Callable[..., Path]) -> Files:
    folder = tmp_path_factory.mktemp("long")
    sizes = {"train": 320, "dev": 16, "test": 48}
    parts = {name: write_table(folder / f"{name}.csv", hidden(n, at)) for at, (name, n) in enumerate(sizes.items())}
    return Files(parts["train"], parts["dev"], parts["test"])


@pytest.mark.parametrize("way", WAYS)
def test_every_way_trains_saves_loads_and_predicts_the_same(
    encoder: Path, long_files: Files, tmp_path: Path, way: str
) -> None:
    split = task_named("classify", {"long": way}).read(long_files)
    recipe = Recipe(learning_rate=2e-3, epochs=1)
    *_, result = finetune(encoder, split, out=tmp_path, recipe=recipe, machine=Machine(1))
    assert isinstance(result, Result)
    classifier = load_classifier(tmp_path)
    assert classifier.reading.way == way
    texts = split.parts["test"].texts
    told = [row.split(",") for row in (tmp_path / "predictions-test.csv").read_text().splitlines()[1:]]
    again = classifier.predict(texts)
    assert [guess.label for guess in again] == [row[2] for row in told]
    assert [guess.probability for guess in again] == pytest.approx([float(row[3]) for row in told], abs=1e-5)
    if way in ("head", "tail", "both"):
        assert any("tokens: their" in note for note in result.warnings)
        assert result.scores["test"].accuracy < 0.8  # what tells was cut off
    if way in ("segments", "hierarchical"):
        assert not any("segments" in note for note in result.warnings)


@pytest.mark.parametrize(
    ("way", "method"),
    [
        ("hierarchical", "lora"),
        ("hierarchical", "prefix"),
        ("hierarchical", "prompt"),
        ("window", "lora"),
        ("strided", "lora"),
    ],
)
def test_ways_go_with_methods(encoder: Path, long_files: Files, tmp_path: Path, way: str, method: str) -> None:
    split = task_named("classify", {"long": way}).read(long_files)
    recipe = Recipe(method=method_named(method, rank=2 if method == "lora" else None), epochs=1)
    ready, *_ = finetune(encoder, split, out=tmp_path, recipe=recipe, machine=Machine(1))
    assert isinstance(ready, Ready)
    if way in ("window", "strided"):  # the model with windows is what the method was put into
        assert ready.trained < 0.1 * ready.params
    told = [row.split(",") for row in (tmp_path / "predictions-test.csv").read_text().splitlines()[1:]]
    again = load_classifier(tmp_path).predict(split.parts["test"].texts)
    assert [guess.probability for guess in again] == pytest.approx([float(row[3]) for row in told], abs=1e-5)


def test_segments_find_what_one_end_does_not_show(encoder: Path, long_files: Files, tmp_path: Path) -> None:
    split = task_named("classify", {"long": "segments", "join": "max"}).read(long_files)
    *_, result = finetune(encoder, split, out=tmp_path, recipe=Recipe(learning_rate=5e-3, epochs=6), machine=Machine(1))
    assert result.scores["test"].accuracy > 0.9


@pytest.mark.parametrize("pattern", ["window", "strided"])
def test_windows_make_the_context_longer_and_are_saved(
    pattern: str, encoder: Path, long_files: Files, tmp_path: Path
) -> None:
    split = task_named("classify", {"long": pattern}).read(long_files)
    for _ in finetune(encoder, split, out=tmp_path, recipe=Recipe(epochs=1), machine=Machine(1)):
        pass
    body = load_classifier(tmp_path).model.body
    assert (body.shape.context, body.shape.attention, body.shape.attention_span) == (128, pattern, 16)
    with pytest.raises(UserError, match=f"--long {pattern} does not go with prompt"):
        next(finetune(encoder, split, out=tmp_path / "prompt", recipe=Recipe(method=method_named("prompt"))))
    with pytest.raises(UserError, match="longer than the model's 32 tokens"):
        next(finetune(encoder, split, out=tmp_path / "short", recipe=Recipe(longest=32)))


def test_a_joint_objective_needs_a_text_that_is_not_cut_up(encoder: Path, long_files: Files, tmp_path: Path) -> None:
    split = task_named("classify", {"long": "segments"}).read(long_files)
    with pytest.raises(UserError, match="--long segments cuts up: add --joint-text"):
        next(finetune(encoder, split, out=tmp_path, recipe=Recipe(joint=joint_in("0.1", None))))


def test_a_damaged_record_is_told(encoder: Path, long_files: Files, tmp_path: Path) -> None:
    split = task_named("classify", {"long": "tail"}).read(long_files)
    for _ in finetune(encoder, split, out=tmp_path, recipe=Recipe(epochs=1), machine=Machine(1)):
        pass
    path = tmp_path / "model" / "task.json"
    path.write_text(path.read_text().replace('"tail"', '"middle"'))
    with pytest.raises(UserError, match=r"task.json is damaged"):
        load_adapted(tmp_path)


def test_settings_that_are_not_known_are_refused_before_anything_is_read() -> None:
    with pytest.raises(UserError, match="--long is 'middle'"):
        task_named("classify", {"long": "middle"})
    with pytest.raises(UserError, match="most is 1"):
        task_named("classify", {"long": "segments", "most": "1"})
