"""A plan file as a study: its target is the planned run."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.errors import UserError
from isoflop.planning import plan, plan_ladder
from isoflop.planning.plan_file import plan_toml
from isoflop.shapes import matmul_params
from isoflop.study import read_config
from isoflop.training import read_plan

LAW = "chinchilla:besiroglu2024"


@pytest.fixture
def planned(tmp_path: Path):
    def write(text: str | None = None, **asked) -> Path:
        path = tmp_path / "plan.toml"
        path.write_text(text if text is not None else plan_toml(plan(LAW, **asked)), encoding="utf-8")
        return path

    return write


def test_the_target_of_the_study_is_the_planned_run(planned) -> None:
    made = plan(LAW, flops=1e15, gpus="2xcpu")
    config = read_config(planned(plan_toml(made)))
    target = plan_ladder(config.ladder, config.family(made.shape.vocab), flops=config.budget.flops)
    assert target.target.shape.width == made.shape.width
    assert target.target.params == pytest.approx(matmul_params(made.shape), rel=0.1)
    assert target.tokens(target.target.steps[0]) == pytest.approx(made.allocation.tokens.value, rel=0.02)
    assert (config.model.layers, config.model.heads) == (made.shape.layers, made.shape.heads)
    assert config.tokenizer.vocab == made.shape.vocab
    assert config.ladder.batch * made.shape.context == made.layouts.choices[0].batch_tokens
    assert config.device == "cpu"


def test_the_text_may_be_named_in_the_plan(planned) -> None:
    text = plan_toml(plan(LAW, flops=1e15, gpus="2xcpu")).replace("corpus = []", 'corpus = ["books/*.txt"]')
    assert read_config(planned(text)).corpus.paths == ("books/*.txt",)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("schema = 1", "schema = 2"), "schema 2"),
        (('stack = "decoder"', 'stack = "encoder"'), "dense decoder"),
        (("batch_tokens", "batch_token"), r"train\.batch_tokens"),
        (("[shape]", '[shape]\ncolour = "red"'), "colour"),
    ],
)
def test_a_plan_that_can_not_be_studied_is_refused_in_a_sentence(planned, change: tuple[str, str], says: str) -> None:
    text = plan_toml(plan(LAW, flops=1e15, gpus="2xcpu")).replace(*change, 1)
    with pytest.raises(UserError, match=says):
        read_config(planned(text))


def test_a_plan_for_a_cluster_says_what_it_would_take_here(planned) -> None:
    with pytest.raises(UserError, match=r"days on 1 x h100: plan a smaller run, such as --flops"):
        read_config(planned(flops=1e24, gpus="512xh100"))


def test_a_model_too_narrow_for_a_ladder_below_it_is_refused(planned) -> None:
    with pytest.raises(UserError, match="need a target of width"):
        read_config(planned(flops=1e12, gpus="1xcpu"))


def test_train_reads_the_same_file(planned) -> None:
    made = plan(LAW, flops=1e15, gpus="2xcpu")
    read = read_plan(planned(plan_toml(made)))
    assert read.shape == made.shape
    assert read.train.tokens == round(made.allocation.tokens.value)
    assert read.train.batch_tokens == made.layouts.choices[0].batch_tokens
    assert read.base is None
    assert read.optimizer.eps == 1e-8
