"""Plans are read as they are written; those of the documentation train."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from isoflop.errors import UserError
from isoflop.runs import Run
from isoflop.training import SGD, Muon, Plan, pretrain, read_plan
from isoflop.training.plan import OptimizerSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "train.md"
PLANS = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def read(text: str, folder: Path) -> Plan:
    path = folder / "plan.toml"
    path.write_text(text)
    return read_plan(path)


@pytest.mark.parametrize("text", PLANS, ids=["decoder", "encoder", "encoder_decoder"])
def test_the_documentation_s_plans_train(
    text: str, tmp_path: Path, study_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four steps of each, on less text than they ask for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plan = read(text, tmp_path)
    short = dataclasses.replace(plan.train, tokens=4 * 256, batch_tokens=256, warmup_tokens=256, valid_tokens=1024)
    plan = dataclasses.replace(
        plan, train=short, data=dataclasses.replace(plan.data, corpus=(str(study_text),), valid_percent=20)
    )
    run = list(pretrain(plan, tmp_path / "out"))[-1]
    assert isinstance(run, Run)
    assert run.status == "finished"


def test_a_plan_s_sections_may_be_left_out(tmp_path: Path) -> None:
    plan = read(PLANS[0], tmp_path)
    assert (plan.base, plan.plan, plan.machine, plan.data.corpus) == (None, {}, {}, ("stdlib",))
    assert (plan.batch, plan.steps, plan.schedule.warmup_steps, plan.vocab) == (16, 256, 16, 512)
    noted = read(PLANS[0] + "\n[plan]\nloss = 3.1\nasked = 'flops'\n[machine]\ndevices = 8\n", tmp_path)
    assert dataclasses.replace(noted, plan={}, machine={}) == plan


def test_the_tokenizer_leaves_room_for_the_objective_s_tokens(tmp_path: Path) -> None:
    plan = read(PLANS[1], tmp_path)
    assert plan.special_tokens == ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
    assert plan.vocab == plan.shape.vocab - 4


def test_a_head_that_is_the_embedding_is_refused_where_the_table_scales_the_two_differently(tmp_path: Path) -> None:
    plan = read(PLANS[0], tmp_path)
    tied = dataclasses.replace(plan.shape, tied=True)
    with pytest.raises(UserError, match=r"u-mup can't train .* Set tied to false"):
        dataclasses.replace(plan, shape=tied, train=dataclasses.replace(plan.train, parametrization="u-mup"))
    dataclasses.replace(plan, shape=tied, train=dataclasses.replace(plan.train, parametrization="sp"))


def test_optimisers_are_made_as_named() -> None:
    assert OptimizerSettings("muon").method() == Muon(0.95)
    assert OptimizerSettings("sgd", momentum=0.5).method() == SGD(0.5)
    with pytest.raises(UserError, match="momentum is for muon and sgd"):
        OptimizerSettings("adamw", momentum=0.5).method()
