"""Tokens that follow prompts, by greedy choice, sampling or beams."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from isoflop.generation.beams import best_of_beams
from isoflop.generation.choosing import generators, penalised, sampled
from isoflop.generation.decoding import Beams, Decoding, Sample
from isoflop.generation.reader import Marks, Reader, rooms_for
from isoflop.models import Model

AT_ONCE = 64
"""Sequences that are read side by side."""
Ending = Literal["stop", "length", "context"]


@dataclass(frozen=True)
class Answer:
    """The tokens that follow a prompt, without the one that ended it, and what did: a stop token, the most tokens that
    were asked for, or the end of the model's context."""

    tokens: tuple[int, ...]
    ended: Ending


@torch.no_grad()
def generate_tokens(
    model: Model, prompts: Sequence[Sequence[int]], *, decoding: Decoding, marks: Marks
) -> list[Answer]:
    """What follows each prompt (of an encoder-decoder: what its decoder says to each source), in their order.

    Prompts of like length share a batch; an answer does not depend on what it shares one with. Raises `UserError` for
    a prompt that has no token or leaves no room in the model's context.
    """
    rooms = rooms_for(model, prompts)
    limits = [decoding.max_tokens if room is None else min(room, decoding.max_tokens) for room in rooms]
    choice = decoding.choice
    draws = generators(prompts, choice.seed) if isinstance(choice, Sample) else []
    at_once = max(1, AT_ONCE // choice.count) if isinstance(choice, Beams) else AT_ONCE
    by_length = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
    found: dict[int, list[int]] = {}
    was_training = model.training
    model.eval()
    with _without_compiling():
        for start in range(0, len(prompts), at_once):
            rows = by_length[start : start + at_once]
            reader = Reader(model, [prompts[at] for at in rows], marks, minds_seen=decoding.repetition_penalty != 1)
            most = [limits[at] for at in rows]
            if isinstance(choice, Beams):
                answers = best_of_beams(reader, most, beams=choice, penalty=decoding.repetition_penalty, marks=marks)
            else:
                answers = _one_by_one(reader, most, decoding, marks, [draws[at] for at in rows if draws])
            found.update(zip(rows, answers, strict=True))
    model.train(was_training)
    return [_answer(found[at], marks, limited=limits[at] < decoding.max_tokens) for at in range(len(prompts))]


def _one_by_one(
    reader: Reader, most: list[int], decoding: Decoding, marks: Marks, draws: list[torch.Generator]
) -> list[list[int]]:
    """Each row grows by its own choice, up to a stop token, which it keeps, or its longest length."""
    answers: list[list[int]] = [[] for _ in most]
    rows, going = list(range(len(most))), set(range(len(most)))
    while True:
        scores_BV = penalised(reader.logits_BV, reader.seen_BV, decoding.repetition_penalty)
        if isinstance(decoding.choice, Sample):
            tokens_B = sampled(scores_BV, decoding.choice, [draws[row] for row in rows])
        else:
            tokens_B = scores_BV.argmax(dim=-1)
        for row, token in zip(rows, tokens_B.tolist(), strict=True):
            if row in going:
                answers[row].append(token)
                if token in marks.stop or len(answers[row]) == most[row]:
                    going.remove(row)
        if not going:
            return answers
        is_full = any(len(answers[row]) == most[row] for row in rows if row not in going)
        if is_full or 2 * len(going) <= len(
            rows
        ):  # each time costs a copy of the cache, so mostly it is done by halves
            kept = torch.tensor([at for at, row in enumerate(rows) if row in going], device=tokens_B.device)
            reader.select(kept)
            rows, tokens_B = [row for row in rows if row in going], tokens_B[kept]
        reader.read(tokens_B)


def _answer(tokens: list[int], marks: Marks, *, limited: bool) -> Answer:
    if tokens[-1] in marks.stop:
        return Answer(tuple(tokens[:-1]), "stop")
    return Answer(tuple(tokens), "context" if limited else "length")


def _without_compiling() -> AbstractContextManager[object]:
    """Compiled blocks run as plain code: each length would be compiled anew."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
