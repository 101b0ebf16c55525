"""A fine-tuning to write that is stopped, anywhere, comes to the weights of one that is not, to the bit."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adaptation.writing.conftest import SHAPE
from isoflop.adaptation import Files, Recipe, Result, Split, Stepped, finetune, method_named, task_named
from isoflop.adaptation.finetuning import Event
from isoflop.adaptation.scratch import first_model
from isoflop.adaptation.tasks.chat import ChatTrial
from isoflop.training.trainee import Trainee

SMALL = SHAPE.replace("width = 64", "width = 16").replace("ffn = 128", "ffn = 16")
PARTS = {"accumulate": 5}
UNFROZEN = {"unfreeze": 1, "layer_decay": 0.7, "patience": 2}
PREFIX = {"method": method_named("prefix", length=4)}
Begin = Callable[..., tuple[Path, Split, Recipe]]


@pytest.fixture
def begin(side_by_side: Path, conversations: Path, tmp_path: Path) -> Begin:
    """The first model, which drops out at random, the examples of a task, and a recipe of 4 epochs of 3 steps, of which
    the last has fewer examples."""

    def read(task: str, stack: str, **settings: Any) -> tuple[Path, Split, Recipe]:
        ending = {"seq2seq": "en", "chat": "jsonl", "generate": "de"}[task]
        files = Files(side_by_side / f"train.{ending}", dev=conversations / f"dev.{ending}")
        split = task_named(task, {"target": "de", "answer": 12} if task == "seq2seq" else None).read(files)
        (tmp_path / "shape.toml").write_text(SMALL.format(stack=stack, context=96) + "dropout = 0.2\n")
        recipe = Recipe(learning_rate=3e-3, batch=12, epochs=4, precision="fp32", **settings)
        return first_model(tmp_path / "shape.toml", split, tmp_path / "start", seed=0), split, recipe

    return read


def stopped(events: Iterator[Event], last: int) -> None:
    """Press Ctrl-C while step `last` is told of."""
    for event in events:
        if isinstance(event, Stepped) and event.step == last:
            signal.raise_signal(signal.SIGINT)


def left(folder: Path) -> dict[str, bytes | list[str]]:
    """Weights, predictions, and what was told of each step but the time that it took."""
    files = [*folder.rglob("*.safetensors"), folder / "predictions-dev.csv"]
    steps = [line.partition('"seconds"')[0] for line in (folder / "curve.jsonl").read_text().splitlines()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files} | {"curve": steps}


@pytest.mark.parametrize(
    ("task", "stack", "settings"),
    [
        ("seq2seq", "encoder_decoder", UNFROZEN | PARTS),
        ("chat", "decoder", UNFROZEN | PARTS),
        ("chat", "decoder", PREFIX),
        ("generate", "decoder", UNFROZEN | PARTS),
    ],
)
def test_one_that_is_stopped_goes_on(
    task: str, stack: str, settings: dict[str, Any], begin: Begin, tmp_path: Path
) -> None:
    """Stopped within an epoch, at the end of one, and after the last step."""
    model, split, recipe = begin(task, stack, **settings)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    *_, result = finetune(model, split, out=whole, recipe=recipe)
    assert isinstance(result, Result)
    for last in (4, 6, len(left(whole)["curve"])):
        with pytest.raises(KeyboardInterrupt):
            stopped(finetune(model, split, out=parts, recipe=recipe), last)
    *_, continued = finetune(model, split, out=parts, recipe=recipe)
    assert left(parts) == left(whole)
    assert isinstance(continued, Result)
    assert continued.scores["dev"].figures == result.scores["dev"].figures


class Crash(Exception):
    """Power is gone."""


def test_one_that_breaks_off_goes_on_from_its_last_checkpoint(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a step, while dev is measured after an epoch, at the end, and while the model is saved."""
    model, split, recipe = begin("chat", "decoder", **UNFROZEN)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    *_, _ = finetune(model, split, out=whole, recipe=recipe)
    monkeypatch.setattr("isoflop.adaptation.finetuning.CHECKPOINT_SECONDS", 0.0)
    places: list[tuple[type, str, Callable[..., bool]]] = [
        (Trainee, "follow", lambda count, _: count == 4),
        (ChatTrial, "measure", lambda count, _: count == 3),  # the first is of the model as it was
        (ChatTrial, "measure", lambda _, is_last: is_last),
        (ChatTrial, "save", lambda *_: True),
    ]
    for kind, name, is_here in places:
        usual, calls = getattr(kind, name), iter(range(1, 100))

        def breaks(*args: Any, _usual: Any = usual, _calls: Any = calls, _is_here: Any = is_here, **named: Any) -> Any:
            if _is_here(next(_calls), named.get("is_last", False)):
                raise Crash
            return _usual(*args, **named)

        with monkeypatch.context() as patch:
            patch.setattr(kind, name, breaks)
            with pytest.raises(Crash):
                list(finetune(model, split, out=parts, recipe=recipe))
    list(finetune(model, split, out=parts, recipe=recipe))
    assert left(parts) == left(whole)
