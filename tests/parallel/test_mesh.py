"""What doesn't divide is refused before anything starts, with a sentence for each thing."""

from __future__ import annotations

import dataclasses

import pytest

from isoflop.errors import UserError
from isoflop.parallel import Mesh, Method, check_mesh
from isoflop.parallel.mesh import PipelineSchedule, check_world
from isoflop.parallel.stages import blocks_of, stages_of, twin_rank
from isoflop.shapes import ModelShape
from parallel.layouts import DECODER, T5, TIED

FITTING = (Mesh(tensor=4, shard=2), Mesh(context=4), Mesh(2, 2), Mesh(pipeline=4, shard=2))
ZERO_BUBBLE_V = Method(micro_batches=4, schedule="zbv-zero-bubble")
WRONG = (
    (Mesh(tensor=3), Method(), DECODER, "8 heads do not divide by machine.tensor 3"),
    (Mesh(tensor=8), Method(), DECODER, "4 key-value heads do not divide by machine.tensor 8"),
    (Mesh(tensor=2), Method(loss_parallel=False), DECODER, "a vocabulary of 67 does not divide by machine.tensor 2"),
    (Mesh(context=3), Method(), DECODER, "sequences of 16 tokens do not divide by machine.context 3"),
    (
        Mesh(context=4, tensor=2),
        Method(),
        DECODER,
        "the 2 key-value heads of a rank do not divide by machine.context",
    ),
    (Mesh(context=2), Method(), T5, "machine.context above 1 takes one stack"),
    (Mesh(shard=3), Method(), DECODER, "8 sequences do not divide by replicate × shard = 3"),
    (Mesh(shard=2), Method(micro_batches=3), DECODER, "the 4 sequences of a rank do not divide into 3 micro-batches"),
    (Mesh(pipeline=8), Method(micro_batches=8), DECODER, "4 layers are too few for 8 pipeline stages"),
    (Mesh(pipeline=2), Method(), DECODER, "machine.pipeline 2 needs at least as many micro-batches, not 1"),
    (Mesh(pipeline=2, shard=2), ZERO_BUBBLE_V, TIED, "has both ends of a tied model on one rank"),
    (Mesh(pipeline=2), Method(micro_batches=2), T5, "pipelining is for one stack"),
)


@pytest.mark.parametrize("mesh", FITTING, ids=str)
def test_a_mesh_that_divides_everything_is_taken(mesh: Mesh) -> None:
    check_mesh(mesh, Method(micro_batches=4 if mesh.pipeline > 1 else 1), shape=DECODER, batch=8)


@pytest.mark.parametrize(("mesh", "method", "shape", "sentence"), WRONG)
def test_what_does_not_divide_is_said(mesh: Mesh, method: Method, shape: ModelShape, sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        check_mesh(mesh, method, shape=shape, batch=8)
    assert sentence.lower() in str(refused.value).lower()


def test_every_obstacle_has_a_sentence_of_its_own() -> None:
    with pytest.raises(UserError) as refused:
        check_mesh(Mesh(tensor=3, shard=5), Method(), shape=dataclasses.replace(DECODER, ffn=47), batch=8)
    assert [part in str(refused.value) for part in ("heads", "feed-forward rows", "sequences")] == [True] * 3


def test_a_wrong_number_of_processes_is_said() -> None:
    with pytest.raises(UserError, match="needs 4 processes, but 2 were started"):
        check_world(Mesh(tensor=2, shard=2), 2)


def test_a_degree_below_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"machine\.shard must be at least 1, not 0"):
        Mesh(shard=0)


@pytest.mark.parametrize("schedule", ["1f1b", "interleaved", "zbv-zero-bubble"])
def test_ranks_hold_every_stage_once_and_stages_every_block_once(schedule: PipelineSchedule) -> None:
    mesh, method = Mesh(pipeline=3), Method(schedule=schedule)
    stages = [stage for rank in range(3) for stage in stages_of(rank, mesh, method)]
    assert sorted(stages) == list(range(3 * method.chunks))
    blocks = [block for stage in sorted(stages) for block in blocks_of(stage, stages=len(stages), layers=11)]
    assert blocks == list(range(11))


def test_the_ends_of_a_tied_model_are_twins_where_they_lie_on_two_ranks() -> None:
    mesh, interleaved = Mesh(pipeline=3), Method(schedule="interleaved")
    assert [twin_rank(stage, TIED, mesh=mesh, method=interleaved) for stage in range(6)] == [2, *[None] * 4, 0]
    assert [twin_rank(stage, DECODER, mesh=mesh, method=interleaved) for stage in range(6)] == [None] * 6
    assert [twin_rank(stage, TIED, mesh=mesh, method=ZERO_BUBBLE_V) for stage in range(6)] == [None] * 6
