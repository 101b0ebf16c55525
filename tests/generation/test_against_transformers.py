"""The tokens are those that `generate` of transformers finds on the exported weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel

from isoflop.generation import Beams, Decoding, Greedy, Marks, generate_tokens
from isoflop.models import Model, to_hugging_face
from isoflop.models.build import STACKS
from isoflop.shapes import ModelShape
from models.transformers_weights import randomised

DECODER = ModelShape(layers=2, width=32, heads=4, kv_heads=2, vocab=60, context=48, ffn=48)
SHAPES = {
    "llama": DECODER,
    "gpt2": dataclasses.replace(
        DECODER, kv_heads=4, norm="layer", biases="all", positions="learned", feed_forward="gelu_tanh", tied=True
    ),
    "window": dataclasses.replace(
        DECODER, attention="window", attention_span=5, norm="layer", biases="all", feed_forward="gelu_tanh"
    ),
    "t5": dataclasses.replace(
        DECODER, stack="encoder_decoder", kv_heads=4, positions="relative", feed_forward="relu", tied=True
    ),
}
STOP, PAD, START = list(range(1, 60, 7)), 0, 0
"""So many tokens end an answer that some do so early in these models, which know no language."""
PROMPTS = [[11, 12, 13, 14, 15], [21, 22], [31, 32, 33], [31, 7, 33, 9, 12, 31, 18]]


@pytest.fixture(scope="module", params=list(SHAPES))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, PreTrainedModel]:
    """A model of ours, and what transformers makes of its export."""
    shape = SHAPES[request.param]
    ours = randomised(STACKS[shape.stack](shape, logit_scale=shape.head_size**-0.5), spread=0.35)
    folder = tmp_path_factory.mktemp(request.param)
    to_hugging_face(ours, folder)
    kind = AutoModelForSeq2SeqLM if shape.stack == "encoder_decoder" else AutoModelForCausalLM
    return ours, kind.from_pretrained(folder).eval()


def theirs(model: PreTrainedModel, **how: object) -> list[list[int]]:
    """New tokens of each prompt, alone, before a stop token."""
    found = []
    for prompt in PROMPTS:
        given = torch.tensor([prompt])
        answer: Tensor = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            do_sample=False,
            eos_token_id=STOP,
            pad_token_id=PAD,
            **({"decoder_start_token_id": START} if model.config.is_encoder_decoder else {}),
            **how,
        )[0]
        tokens = answer[1 if model.config.is_encoder_decoder else len(prompt) :].tolist()
        end = next((place for place, token in enumerate(tokens) if token in STOP), len(tokens))
        found.append(tokens[:end])
    return found


def ours(model: Model, decoding: Decoding) -> list[list[int]]:
    answers = generate_tokens(model, PROMPTS, decoding=decoding, marks=Marks(frozenset(STOP), START))
    return [list(one.tokens) for one in answers]


@pytest.mark.parametrize("penalty", [1.0, 1.3, 0.8])
def test_greedy_choice(pair: tuple[Model, PreTrainedModel], penalty: float) -> None:
    expected = theirs(pair[1], max_new_tokens=20, repetition_penalty=penalty)
    assert ours(pair[0], Decoding(Greedy(), 20, penalty)) == expected


@pytest.mark.parametrize(("beams", "length", "penalty"), [(2, 1.0, 1.0), (4, 0.6, 1.0), (5, 2.0, 1.2), (3, 0.0, 1.0)])
def test_beams(pair: tuple[Model, PreTrainedModel], beams: int, length: float, penalty: float) -> None:
    how = {"num_beams": beams, "length_penalty": length, "repetition_penalty": penalty}
    expected = theirs(pair[1], max_new_tokens=20, **how)
    found = ours(pair[0], Decoding(Beams(beams, length), 20, penalty))
    assert found == expected
    assert found != ours(pair[0], Decoding(Greedy(), 20, penalty))


def test_these_answers_end_in_both_ways() -> None:
    """By a stop token and by their length, so that the comparisons above have seen both."""
    lengths = []
    for shape in SHAPES.values():
        model = randomised(STACKS[shape.stack](shape, logit_scale=shape.head_size**-0.5), spread=0.35)
        lengths += [len(one) for choice in (Greedy(), Beams(4)) for one in ours(model, Decoding(choice, 20))]
    assert 20 in lengths
    assert len(set(lengths)) > 5
