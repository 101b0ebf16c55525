"""A bad batch stops the run, is left out, or is gone back from, as the plan says; the record tells, bit for bit."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from isoflop.runs import Run, read_curve, read_run
from isoflop.shapes import ModelShape
from isoflop.training import BadStep, Plan, Progress, pretrain
from isoflop.training.plan import DataSettings, TrainSettings
from isoflop.training.spikes import KNOWN_AFTER, MOST_ROLL_BACKS, MOST_SKIPS_TOGETHER, BadSteps, LossTrend
from training.poison import poisoned

STEPS = 120
EVERY = STEPS // 20
SHAPE = ModelShape(layers=1, width=16, heads=2, context=16, ffn=32, vocab=300, norm="plain")
KEPT = "isoflop.training.course.BatchesKept"
SPIKE, NAN = {50}, {70}
"""Numbers of bad batches; neither where a state is kept."""


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
    return folder


def plan_for(policy: str, text: Path, **changes: Any) -> Plan:
    train = TrainSettings(
        tokens=STEPS * 64,
        batch_tokens=64,
        learning_rate=0.5,
        evaluations=4,
        valid_tokens=320,
        on_bad_step=policy,  # type: ignore[arg-type]
    )
    data = DataSettings((str(text),), valid_percent=20)
    return Plan(SHAPE, dataclasses.replace(train, **changes), data=data)


def trained(plan: Plan, out: Path) -> tuple[Run, list[BadStep]]:
    events = list(pretrain(plan, out))
    return events[-1], [event for event in events if isinstance(event, BadStep)]  # type: ignore[return-value]


def curve(out: Path) -> list[tuple[float, ...]]:
    return [(p.step, p.tokens, p.loss, p.lr, p.grad_norm) for p in read_curve(out)]


def test_a_clean_run_is_the_same_under_every_policy(text: Path, tmp_path: Path) -> None:
    for policy in ("stop", "skip", "roll_back"):
        run, met = trained(plan_for(policy, text), tmp_path / policy)
        assert (run.status, run.events, met) == ("finished", [], [])
    assert curve(tmp_path / "stop") == curve(tmp_path / "skip") == curve(tmp_path / "roll_back")


def test_stop_ends_at_what_is_not_finite_and_does_not_mind_a_spike(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KEPT, poisoned(SPIKE, NAN))
    run, _ = trained(plan_for("stop", text), tmp_path)
    assert run.status == "diverged"
    assert run.events == [{"step": 70, "kind": "not finite", "done": "stop", "back_to": 70, "first": 70, "end": 70}]
    assert "not finite at step 70" in run.note
    assert read_run(tmp_path) == run


def test_skip_leaves_the_batch_out_as_if_the_text_had_never_held_it(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KEPT, poisoned(SPIKE, NAN))
    run, met = trained(plan_for("skip", text), tmp_path / "skip")
    assert run.status == "finished"
    assert [(one.step, one.kind, one.first, one.end) for one in met] == [
        (50, "spike", 50, 51),
        (69, "not finite", 70, 71),
    ]
    assert run.events == [dataclasses.asdict(one) for one in met]

    def without(batches: Any, bad_steps: BadSteps) -> Any:
        bad_steps.skipped = [(50, 51), (70, 71)]
        return poisoned(SPIKE, NAN)(batches, bad_steps)  # type: ignore[call-arg]

    monkeypatch.setattr(KEPT, without)
    expected, met = trained(plan_for("stop", text), tmp_path / "without")
    assert (met, expected.loss) == ([], run.loss)
    assert curve(tmp_path / "without") == curve(tmp_path / "skip")


def test_roll_back_goes_to_the_last_good_state_and_leaves_the_window_out(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KEPT, poisoned(SPIKE, NAN))
    run, met = trained(plan_for("roll_back", text), tmp_path)
    assert run.status == "finished"
    assert met[0] == BadStep(50, "spike", "roll_back", back_to=48, first=48, end=51)
    assert met[1] == BadStep(67, "not finite", "roll_back", back_to=66, first=69, end=71)
    assert [point[0] for point in curve(tmp_path)] == list(range(1, STEPS + 1))
    lines = (tmp_path / "validation.jsonl").read_text().splitlines()
    assert len(lines) == 4


@pytest.mark.parametrize("policy", ["skip", "roll_back"])
@pytest.mark.parametrize(("made", "killed"), [(49, True), (52, True), (52, False), (69, False)])
def test_a_run_that_is_interrupted_among_bad_steps_comes_to_the_same(
    policy: str, made: int, killed: bool, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KEPT, poisoned(SPIKE, NAN))
    expected, _ = trained(plan_for(policy, text), tmp_path / "whole")
    monkeypatch.setattr("isoflop.training.course.PROGRESS_SECONDS", -1.0)
    running = pretrain(plan_for(policy, text, checkpoint_minutes=1e-9 if killed else 5.0), tmp_path / "cut")
    list(itertools.islice((event for event in running if isinstance(event, Progress)), made))
    if killed:
        running.close()
    else:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            list(running)
    events = list(pretrain(plan_for(policy, text), tmp_path / "cut"))
    assert events[0].begun > 40  # type: ignore[union-attr]
    assert (events[-1].loss, events[-1].events) == (expected.loss, expected.events)  # type: ignore[union-attr]
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")


def test_after_so_many_roll_backs_the_run_stops(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KEPT, poisoned(set(), set(range(40, 1000))))
    run, met = trained(plan_for("roll_back", text), tmp_path)
    assert run.status == "diverged"
    assert [one.done for one in met] == ["roll_back"] * MOST_ROLL_BACKS + ["stop"]


def test_after_so_many_bad_batches_together_skipping_stops(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KEPT, poisoned(set(), set(range(40, 1000))))
    run, met = trained(plan_for("skip", text), tmp_path)
    assert run.status == "diverged"
    assert [one.done for one in met] == ["skip"] * MOST_SKIPS_TOGETHER + ["stop"]


@pytest.mark.slow
def test_two_processes_leave_out_what_one_does(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KEPT, poisoned(SPIKE, set()))
    one, _ = trained(plan_for("roll_back", text), tmp_path / "one")
    tests = Path(__file__).resolve().parents[1]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = os.pathsep.join([str(tests.parent / "src"), str(tests)])
    environment = {**os.environ, "PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, str(tests / "training" / "poisoned_worker.py"), str(text), str(tmp_path / "two")]
    world = {**environment, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen(command, env={**world, "RANK": str(rank)}) for rank in range(2)]
    assert [process.wait(timeout=900) for process in running] == [0, 0]
    two = read_run(tmp_path / "two")
    assert two.events == one.events != []
    assert two.loss == pytest.approx(one.loss, abs=1e-4)


def test_a_spike_is_many_deviations_above_what_came_before() -> None:
    trend = LossTrend()
    for step in range(60):
        assert not trend.is_spike(3.0 + (0.1 if step % 2 else -0.1))
        trend.take(3.0 + (0.1 if step % 2 else -0.1))
        assert trend.is_spike(4.0) == (step + 1 >= KNOWN_AFTER)
    assert trend.variance**0.5 == pytest.approx(0.1, rel=0.1)
    assert not trend.is_spike(3.0 + 5 * 0.1)
    assert trend.is_spike(3.0 + 7 * 0.1)


def test_windows_that_are_left_out_swallow_those_inside_them() -> None:
    bad = BadSteps("skip", steps=100)
    bad.meet("spike", 7, good=7)
    bad.meet("spike", 9, good=9)
    assert bad.skipped == [(7, 8), (10, 11)]
    back = BadSteps("roll_back", steps=100)
    back.load(bad.state())
    back.meet("spike", 11, good=5)
    assert back.skipped == [(5, 14)]
    assert [back.batch_of(step) for step in (4, 5, 6)] == [4, 14, 15]
