"""Runs that train together come out as each would alone: losses, weights, records; what fails in one stays in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from isoflop.data import CausalBatches, CorpusConfig, TokenizerConfig, prepare_tokens
from isoflop.errors import UserError
from isoflop.evaluation import batch_loss
from isoflop.models import build_model, parametrization
from isoflop.runs import Run, read_curve
from isoflop.shapes import ModelShape
from isoflop.training import OptimizerConfig, Schedule, TrunkJob, build_optimizer, train_steps, train_trunk
from isoflop.training.fusion import Member, Stack, fused_steps, train_fused

SHAPE = ModelShape(layers=2, width=16, heads=2, vocab=300, context=16, ffn=32, norm="plain")
RATES = (0.1, 0.5, 2.0)
STEPS = 12


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TrunkJob:
    folder = tmp_path_factory.mktemp("fusion")
    text = folder / "text"
    text.mkdir()
    for number in range(40):
        (text / f"{number}.txt").write_text(f"the cat number {number} sat on the mat. " * 40)
    data, _ = prepare_tokens(
        CorpusConfig(paths=(str(text),), valid_percent=20), TokenizerConfig(vocab=300), cache=folder / "cache"
    )
    return TrunkJob(
        trunk="W16",
        role="tune",
        shape=SHAPE,
        base=SHAPE,
        milestones=(10, 20),
        batch=4,
        parametrization="u-mup",
        optimizer=OptimizerConfig(lr=0.5),
        schedule=Schedule(warmup_steps=5, cooldown_fraction=0.25),
        seed=0,
        valid_sequences=20,
        data=str(data.folder),
        out="",
    )


def member(seed: int, rate: float, *, tied: bool = False) -> Member:
    shape = dataclasses.replace(SHAPE, tied=tied)
    model, rules = build_model(shape, parametrization("sp"), base=shape, seed=seed)
    config = OptimizerConfig(lr=rate * 0.01, weight_decay=0.001 * seed)
    tokens = torch.randint(300, (600,), generator=torch.Generator().manual_seed(7)).numpy().astype("uint16")
    return Member(model, build_optimizer(model, rules, config), CausalBatches(tokens, 16, 4, seed), clip=1.0)


def alone(one: Member) -> list[float]:
    steps = train_steps(
        one.model, one.batches, optimizer=one.optimizer, steps=range(STEPS), lr_factor=lambda step: 1 / (1 + step)
    )
    return [step.loss for step in steps]


@pytest.mark.parametrize("tied", [False, True])
def test_each_run_takes_the_steps_that_it_takes_alone(tied: bool) -> None:
    together = [member(seed, rate, tied=tied) for seed, rate in enumerate(RATES)]
    stack = Stack([one.model for one in together])
    made = list(fused_steps(together, stack, steps=range(STEPS), lr_factor=lambda step: 1 / (1 + step)))
    for place, (seed, rate) in enumerate(enumerate(RATES)):
        single = member(seed, rate, tied=tied)
        assert [steps[place].loss for steps in made if steps[place]] == pytest.approx(alone(single), rel=1e-5)
        for name, weight in single.model.named_parameters():
            found = dict(together[place].model.named_parameters())[name]
            torch.testing.assert_close(found, weight, rtol=1e-3, atol=1e-5)


def test_runs_of_other_seeds_and_rates_really_differ() -> None:
    losses = [alone(member(seed, rate)) for seed, rate in ((0, 0.1), (1, 0.1), (0, 2.0))]
    assert losses[0] != losses[1]
    assert losses[0] != losses[2]


def test_a_member_that_breaks_is_told_and_harms_no_other() -> None:
    broken, healthy = member(0, 0.1), member(1, 0.5)
    with torch.no_grad():
        next(broken.model.parameters()).fill_(torch.nan)
    stack = Stack([broken.model, healthy.model])
    losses = []
    for first, second in fused_steps(
        [broken, healthy], stack, steps=range(STEPS), lr_factor=lambda step: 1 / (1 + step)
    ):
        assert second is not None
        losses.append(second.loss)
        assert broken.failed or (first is not None and not first.is_finite)
        broken.failed = True
    assert losses == pytest.approx(alone(member(1, 0.5)), rel=1e-5)


def jobs(job: TrunkJob, out: Path) -> list[TrunkJob]:
    return [
        dataclasses.replace(job, trunk=f"lr{rate:g}", seed=seed, out=str(out), optimizer=OptimizerConfig(lr=rate))
        for seed, rate in enumerate(RATES)
    ]


def test_fused_jobs_leave_the_records_of_separate_ones(job: TrunkJob, tmp_path: Path) -> None:
    together = list(train_fused(jobs(job, tmp_path / "fused")))
    assert len(together) == 2 * len(RATES)
    found = {run.run: run for run in together}
    for one in jobs(job, tmp_path / "apart"):
        for index, run in enumerate(event for event in train_trunk(one) if isinstance(event, Run)):
            other = found[run.run]
            assert (other.status, other.tokens, other.seed) == (run.status, run.tokens, run.seed)
            assert other.loss == pytest.approx(run.loss, rel=1e-4)
            fused = dataclasses.replace(one, out=str(tmp_path / "fused"))
            curves = read_curve(one.run_folder(index)), read_curve(fused.run_folder(index))
            assert [p.step for p in curves[0]] == [p.step for p in curves[1]]
            assert [p.loss for p in curves[0]] == pytest.approx([p.loss for p in curves[1]], rel=1e-4)
    again = list(train_fused(jobs(job, tmp_path / "fused")))
    assert sorted(run.run for run in again) == sorted(found)
    assert all(run == found[run.run] for run in again)


def test_a_rate_that_diverges_is_recorded_as_diverged_beside_the_others(job: TrunkJob, tmp_path: Path) -> None:
    wild = [dataclasses.replace(one, parametrization="sp") for one in jobs(job, tmp_path)]
    wild[0] = dataclasses.replace(wild[0], optimizer=OptimizerConfig(lr=1e6))
    wild[1:] = [dataclasses.replace(one, optimizer=OptimizerConfig(lr=0.003)) for one in wild[1:]]
    statuses = {run.trunk: run.status for run in train_fused(wild)}
    assert statuses == {"lr0.1": "diverged", "lr0.5": "finished", "lr2": "finished"}


def test_jobs_that_are_not_alike_are_refused(job: TrunkJob, tmp_path: Path) -> None:
    one, other, _ = jobs(job, tmp_path)
    with pytest.raises(UserError, match="the same batch"):
        list(train_fused([one, dataclasses.replace(other, batch=8)]))
    with pytest.raises(UserError, match="same folder"):
        list(train_fused([one, one]))
    with pytest.raises(UserError, match="at least one"):
        list(train_fused([]))
    shaky = dataclasses.replace(SHAPE, dropout=0.1)
    with pytest.raises(UserError, match="dropout"):
        list(train_fused([dataclasses.replace(one, shape=shaky)]))


@pytest.mark.parametrize(
    "changes", [{"norm": "rms"}, {"norm": "layer", "biases": "all"}, {"qk_norm": True, "norm": "rms"}]
)
def test_norms_with_gains_and_biases_are_stacked_too(changes: dict[str, object]) -> None:
    shape = dataclasses.replace(SHAPE, **changes)
    models = [build_model(shape, parametrization("sp"), base=shape, seed=seed)[0] for seed in (0, 1)]
    with torch.no_grad():
        for model in models:
            for weight in model.parameters():
                weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))
    batch = CausalBatches(torch.arange(600).remainder(300).numpy().astype("uint16"), 16, 4, 0).at(0)
    alone = [batch_loss(model, batch) for model in models]
    for loss in alone:
        loss.backward()
    slopes = [[weight.grad for weight in model.parameters()] for model in models]
    together = Stack(models).backward([batch, batch])
    assert [loss.item() for loss in together] == pytest.approx([loss.item() for loss in alone], rel=1e-6)
    for model, expected in zip(models, slopes, strict=True):
        for weight, slope in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(weight.grad, slope, rtol=1e-4, atol=1e-6)


def test_a_table_that_is_read_without_a_layer_is_refused_not_mixed_up() -> None:
    shape = dataclasses.replace(SHAPE, positions="learned")
    model, _ = build_model(shape, parametrization("sp"), base=shape, seed=0)
    with pytest.raises(UserError, match="position_table"):
        Stack([model, model])
