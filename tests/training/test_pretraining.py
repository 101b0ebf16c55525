"""A training ends in a record and a model, goes on bit for bit wherever it was stopped, and refuses what can't be."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from isoflop.errors import UserError
from isoflop.evaluation import validation_loss
from isoflop.models import load_model
from isoflop.runs import Run, load_runs, read_curve, read_run
from isoflop.shapes import ModelShape
from isoflop.training import Measured, Plan, Prepared, Progress, pretrain
from isoflop.training.plan import DataSettings, OptimizerSettings, TrainSettings
from isoflop.training.pretraining import CHECKPOINT, OneProcess

SMALL: dict[str, Any] = {"layers": 1, "width": 16, "heads": 2, "context": 16, "ffn": 32}
SHAPES = {
    "causal": ModelShape(**SMALL, vocab=300, norm="plain"),
    "sentence-order": ModelShape(
        **SMALL, vocab=304, stack="encoder", segments=2, pooler=True, positions="learned", dropout=0.1
    ),
    "span": ModelShape(**SMALL, vocab=302, stack="encoder_decoder", positions="relative", dropout=0.1),
    "pairs": ModelShape(**SMALL, vocab=301, stack="encoder_decoder"),
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for number in range(40):
        (folder / f"{number}.txt").write_text(f"the cat number {number} sat on the mat. " * 40)
    (folder / "pairs.tsv").write_text("".join(f"cat {n}\tKatze {n}\n" for n in range(100)))
    return folder


@pytest.fixture(scope="module")
def plan(text: Path) -> Plan:
    return plan_for("causal", text)


def plan_for(objective: str, text: Path, **changes: Any) -> Plan:
    settings = {
        "tokens": 12 * 64,
        "batch_tokens": 64,
        "learning_rate": 0.5,
        "warmup_tokens": 128,
        "objective": objective,
        "evaluations": 3,
        "valid_tokens": 320,
        "checkpoint_minutes": 1e-9,
        **changes,
    }
    corpus = str(text / "pairs.tsv") if objective == "pairs" else str(text)
    data = DataSettings((corpus,), valid_percent=20)
    return Plan(SHAPES[objective], TrainSettings(**settings), data=data)


def trained(plan: Plan, out: Path) -> Run:
    return next(event for event in list(pretrain(plan, out)) if isinstance(event, Run))


def curve(out: Path) -> list[tuple[float, ...]]:
    return [(p.step, p.tokens, p.loss, p.lr, p.grad_norm) for p in read_curve(out)]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return dict(load_model(out / "model")[0].named_parameters())


@pytest.mark.parametrize("objective", SHAPES)
def test_every_stack_learns_and_leaves_a_record_and_a_model(objective: str, text: Path, tmp_path: Path) -> None:
    plan = plan_for(objective, text)
    events = list(pretrain(plan, tmp_path / "run"))
    kinds = [type(event) for event in events]
    assert kinds[0] is Prepared
    assert kinds.count(Measured) == 2  # and a third time for the record
    assert Progress in kinds
    run = read_run(tmp_path / "run")
    assert run == events[-1]
    assert (run.status, run.role, run.tokens) == ("finished", "train", 12 * 64)
    assert run.loss is not None
    first = read_curve(tmp_path / "run")[0]
    assert run.loss < first.loss
    lines = (tmp_path / "run" / "validation.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4, 8, 12]
    assert json.loads(lines[-1])["loss"] == run.loss
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))
    assert not (tmp_path / "run" / CHECKPOINT).exists()
    with pytest.raises(UserError, match="a fit sees rungs only"):
        load_runs(tmp_path)


@pytest.mark.parametrize("objective", ["causal", "sentence-order"])
def test_the_saved_model_has_the_recorded_loss(objective: str, text: Path, tmp_path: Path) -> None:
    plan = plan_for(objective, text, ema=0.9)
    run = trained(plan, tmp_path)
    model, info = load_model(tmp_path / "model")
    assert (info.shape, info.objective) == (plan.shape, objective)
    valid = OneProcess(plan, tmp_path, threads=1, device="cpu").valid
    assert validation_loss(model, valid).nats == pytest.approx(run.loss, rel=1e-6)
    assert "averaged weights; the last weights have" in run.note


@pytest.mark.parametrize("objective", ["causal", "sentence-order", "span"])
@pytest.mark.parametrize("stopped_after", [1, 5, 11])
def test_a_stopped_training_goes_on_to_the_same_curve_and_weights_bit_for_bit(
    objective: str, stopped_after: int, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, averaged weights and Muon: everything that has a state."""
    plan = dataclasses.replace(
        plan_for(objective, text, ema=0.9, accumulate=2, learning_rate=0.1), optimizer=OptimizerSettings("muon")
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    expected = trained(plan, whole)
    monkeypatch.setattr("isoflop.training.course.PROGRESS_SECONDS", -1.0)
    running = pretrain(plan, cut)
    list(itertools.islice((event for event in running if isinstance(event, Progress)), stopped_after + 1))
    running.close()
    assert (cut / CHECKPOINT).exists()
    events = list(pretrain(plan, cut))
    assert isinstance(events[0], Prepared)
    assert events[0].begun == stopped_after
    assert events[-1].loss == expected.loss  # type: ignore[union-attr]
    assert curve(cut) == curve(whole)
    assert all((value == weights(whole)[name]).all() for name, value in weights(cut).items())


def test_a_finished_training_is_not_repeated_and_leaves_no_checkpoint(plan: Plan, tmp_path: Path) -> None:
    first = next(event for event in pretrain(plan, tmp_path) if isinstance(event, Run))  # and listens no longer
    assert not (tmp_path / ".train.ckpt").exists()
    stamp = (tmp_path / "run.json").stat().st_mtime_ns
    assert list(pretrain(plan, tmp_path)) == [first]
    assert (tmp_path / "run.json").stat().st_mtime_ns == stamp


def test_a_training_that_diverges_says_so_and_saves_no_model(text: Path, tmp_path: Path) -> None:
    run = trained(plan_for("causal", text, learning_rate=1e9, parametrization="sp"), tmp_path)
    assert (run.status, run.loss) == ("diverged", None)
    assert "not finite" in run.note or "rose by more than" in run.note
    assert read_run(tmp_path) == run
    assert not (tmp_path / "model").exists()


def test_a_folder_with_another_training_is_refused(plan: Plan, tmp_path: Path) -> None:
    trained(plan, tmp_path)
    other = dataclasses.replace(plan, train=dataclasses.replace(plan.train, seed=1, clip=2.0))
    with pytest.raises(UserError, match=r"another train\.clip, train\.seed: choose another --out"):
        list(pretrain(other, tmp_path))
    more_often = dataclasses.replace(plan, train=dataclasses.replace(plan.train, checkpoint_minutes=3.0))
    assert len(list(pretrain(more_often, tmp_path))) == 1


def test_changed_text_is_noticed(text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    for name in ("a", "b", "c", "d"):
        (folder / f"{name}.txt").write_text(f"{name} is a letter of the alphabet. " * 60)
    plan = dataclasses.replace(plan_for("causal", text), data=DataSettings((str(folder),), valid_percent=30))
    running = pretrain(plan, tmp_path / "out")
    list(itertools.islice((event for event in running if isinstance(event, Measured)), 1))
    running.close()
    (folder / "b.txt").write_text("something else entirely. " * 60)
    with pytest.raises(UserError, match="training on other text"):
        list(pretrain(plan, tmp_path / "out"))


def test_two_trainings_do_not_share_a_folder(plan: Plan, tmp_path: Path) -> None:
    running = pretrain(plan, tmp_path)
    next(running)
    with pytest.raises(UserError, match="Another process runs a training"):
        next(pretrain(plan, tmp_path))
    running.close()


def test_a_full_disk_is_one_sentence(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left to write"):
        list(pretrain(plan, tmp_path / "out"))


def test_a_missing_gpu_is_said(plan: Plan, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UserError, match="no CUDA device"):
        list(pretrain(plan, tmp_path / "out", device="cuda"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_tokens": 65}, r"batch_tokens is 65, not a multiple of shape.context, 16: use 64 or 80"),
        ({"tokens": 63}, "less than one batch"),
        ({"accumulate": 5}, "accumulate is 5, but a batch has 4"),
        ({"learning_rate": 0.0}, r"train\.learning_rate must be above 0"),
        ({"warmup_tokens": 6400}, "warm-up of 100 steps does not fit"),
        ({"schedule": "cosin"}, "choose one of wsd, cosine"),
        ({"ema": 1.0}, r"train\.ema must be between"),
        ({"batch_tokens": 640_000, "tokens": 640_000}, "less than one batch of 40000 sequences"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    changes: dict[str, Any], message: str, text: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        list(pretrain(plan_for("causal", text, **changes), tmp_path / "out"))
    assert not (tmp_path / "out").exists()
