"""What is drawn follows the probabilities, and nothing but seed and prompt; what ends an answer is told."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from isoflop.errors import UserError
from isoflop.generation import Beams, Decoding, Greedy, Marks, Sample, generate_tokens
from isoflop.generation.choosing import generators, penalised, sampled
from isoflop.models import Model
from isoflop.models.build import STACKS
from isoflop.shapes import ModelShape
from models.transformers_weights import randomised

SHAPE = ModelShape(layers=2, width=32, heads=4, vocab=60, context=24, ffn=48)
PROMPTS = [[11, 12, 13, 14, 15], [21, 22], [31, 32, 33], [41], [21, 22], [31, 7, 33, 9, 12, 31, 18]]
MARKS = Marks(frozenset([7, 14]), 0)
CHOICES = {"greedy": Greedy(), "sample": Sample(0.8, 30, 0.9, seed=3), "beams": Beams(3)}


def model_of(**changes: object) -> Model:
    shape = dataclasses.replace(SHAPE, **changes)
    return randomised(STACKS[shape.stack](shape, logit_scale=0.3), spread=0.35)


@pytest.mark.parametrize("stack", ["decoder", "encoder_decoder"])
@pytest.mark.parametrize("name", list(CHOICES))
def test_an_answer_depends_on_no_other_prompt(stack: str, name: str) -> None:
    model, decoding = model_of(stack=stack), Decoding(CHOICES[name], 16, 1.1)
    together = generate_tokens(model, PROMPTS, decoding=decoding, marks=MARKS)
    for place in (0, 1, 2, 3, 5):
        assert generate_tokens(model, [PROMPTS[place]], decoding=decoding, marks=MARKS) == [together[place]]
    turned = generate_tokens(model, PROMPTS[::-1], decoding=decoding, marks=MARKS)
    assert [turned[-1 - place] for place in (0, 2, 3, 5)] == [together[place] for place in (0, 2, 3, 5)]


def test_the_same_prompt_twice_is_answered_in_two_ways_and_another_seed_in_others() -> None:
    model, asked = model_of(), [[21, 22]] * 4
    found = [
        generate_tokens(model, asked, decoding=Decoding(Sample(2.0, seed=seed), 12), marks=MARKS) for seed in (0, 0, 1)
    ]
    assert found[0] == found[1]
    assert len({one.tokens for one in (*found[0], *found[2])}) == 8


def test_samples_have_the_shares_that_temperature_top_k_and_top_p_leave() -> None:
    """Shares by hand: 0.5, 0.3, 0.15, 0.05 at temperature 1; drawn 20,000 times, standard errors are below 0.004."""
    count = 20_000
    log_V = torch.tensor([0.15, 0.5, 0.05, 0.3]).log()
    draws = generators([[0]] * count, seed=5)
    squares = torch.tensor([0.15, 0.5, 0.05, 0.3]).square()
    for sample, expected in (
        (Sample(), [0.15, 0.5, 0.05, 0.3]),
        (Sample(0.5), (squares / squares.sum()).tolist()),
        (Sample(top_k=2), [0, 0.625, 0, 0.375]),
        (Sample(top_p=0.8), [0, 0.625, 0, 0.375]),
        (Sample(top_p=0.81), [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
        (Sample(top_k=3, top_p=0.5), [0, 1, 0, 0]),
        (Sample(top_k=99, top_p=1.0), [0.15, 0.5, 0.05, 0.3]),
    ):
        tokens = sampled(log_V.expand(count, -1), sample, draws)
        share_V = torch.bincount(tokens, minlength=4) / count
        assert (share_V - torch.tensor(expected)).abs().max() < 0.016, sample
        assert not share_V[torch.tensor(expected) == 0].any(), sample


def test_a_penalty_makes_seen_tokens_worse_on_both_sides_of_zero() -> None:
    scores, seen = torch.tensor([[2.0, -2.0, 2.0, -2.0]]), torch.tensor([[True, True, False, False]])
    assert penalised(scores, seen, 2.0).tolist() == [[1.0, -4.0, 2.0, -2.0]]


def test_what_ended_an_answer_is_told() -> None:
    model = model_of()
    free = generate_tokens(model, [[5, 6]], decoding=Decoding(max_tokens=8), marks=Marks(frozenset()))[0]
    assert (len(free.tokens), free.ended) == (8, "length")
    stop = next(token for token in free.tokens[2:] if token not in free.tokens[:2])
    place = free.tokens.index(stop)
    short = generate_tokens(model, [[5, 6]], decoding=Decoding(max_tokens=8), marks=Marks(frozenset([stop])))[0]
    assert (short.tokens, short.ended) == (free.tokens[:place], "stop")
    for choice in CHOICES.values():
        full = generate_tokens(model, [[5] * 20, [5]], decoding=Decoding(choice, 8), marks=Marks(frozenset()))
        assert [(len(one.tokens), one.ended) for one in full] == [(4, "context"), (8, "length")]


@pytest.mark.parametrize("positions", ["relative", "alibi", "none"])
def test_positions_without_an_end_go_on_beyond_the_context(positions: str) -> None:
    answer = generate_tokens(
        model_of(positions=positions), [[5] * 30], decoding=Decoding(max_tokens=20), marks=Marks(frozenset())
    )[0]
    assert (len(answer.tokens), answer.ended) == (20, "length")


@pytest.mark.parametrize("stack", ["decoder", "encoder_decoder"])
def test_prompts_that_leave_no_room_are_refused(stack: str) -> None:
    model = model_of(stack=stack)
    with pytest.raises(UserError, match="25 tokens and the model's context is 24: shorten it"):
        generate_tokens(model, [[1], [5] * 25], decoding=Decoding(), marks=MARKS)
    with pytest.raises(UserError, match="has no token"):
        generate_tokens(model, [[1], []], decoding=Decoding(), marks=MARKS)


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(UserError, match="An encoder has no next token"):
        generate_tokens(model_of(stack="encoder"), [[1]], decoding=Decoding(), marks=MARKS)
    with pytest.raises(UserError, match="--beams 21 needs 63 tokens"):
        generate_tokens(model_of(), [[1]], decoding=Decoding(Beams(21)), marks=MARKS)
    for wrong in (
        lambda: Sample(temperature=0),
        lambda: Sample(temperature=float("nan")),
        lambda: Sample(top_k=0),
        lambda: Sample(top_p=0.0),
        lambda: Sample(top_p=1.1),
        lambda: Sample(seed=-1),
        lambda: Beams(0),
        lambda: Beams(2, float("inf")),
        lambda: Decoding(max_tokens=0),
        lambda: Decoding(repetition_penalty=0.0),
    ):
        with pytest.raises(UserError, match="must be"):
            wrong()
