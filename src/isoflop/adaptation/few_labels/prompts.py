"""Texts as prompts: shots in front, the text in its form, cut where the model's context ends, and the words behind."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from isoflop.adaptation.few_labels.causal import CausalModel, Continuation, common_start
from isoflop.adaptation.few_labels.template import Template, Verbalizer
from isoflop.adaptation.split import Split
from isoflop.errors import UserError

BETWEEN_SHOTS = "\n\n"


@dataclass(frozen=True)
class Prompts:
    """What is asked for each text: a continuation for every word of every label, in their order; how many were cut."""

    continuations: tuple[tuple[Continuation, ...], ...]
    cut: int


def draw_shots(split: Split, count: int, *, seed: int) -> tuple[int, ...]:
    """Rows of train, as many of each label as can be (±1), in a random order; `seed` decides which.

    Raises `UserError` where a label has too few.
    """
    draw = random.Random(seed)
    order = list(range(len(split.labels)))
    draw.shuffle(order)
    chosen: list[int] = []
    for place, label in enumerate(order):
        rows = [row for row, answer in enumerate(split.answers("train")) if answer == label]
        wanted = count // len(order) + (place < count % len(order))
        if wanted > len(rows):
            raise UserError(
                f"{count} balanced shots need {wanted} texts of the label {split.labels[label]!r}, "
                f"and train has {len(rows)}: ask for fewer with --shots."
            )
        chosen += draw.sample(rows, wanted)
    draw.shuffle(chosen)
    return tuple(chosen)


def shots_text(split: Split, rows: Sequence[int], template: Template, verbalizer: Verbalizer) -> str:
    """The shots one after the other, each with the first word of its label."""
    answers = split.answers("train")
    filled = [template.filled(split.train.texts[row], verbalizer.words[answers[row]][0]) for row in rows]
    return "".join(one + BETWEEN_SHOTS for one in filled)


def make_prompts(
    model: CausalModel, texts: Sequence[str], *, shots: str, template: Template, verbalizer: Verbalizer
) -> Prompts:
    """The prompts of `texts`. A prompt beyond the model's context loses the end of its text.

    Raises `UserError` where shots and words leave no room for a text.
    """
    words = [template.space + word for label in verbalizer.words for word in label]
    found, cut = _asked(model, [shots + template.asking(text) for text in texts], words), 0
    for at, text in enumerate(texts):
        kept = text
        while (over := max(len(one.read) for one in found[at]) - model.context) > 0:
            if not kept:
                raise UserError(
                    f"A prompt is longer than the {model.context} tokens that the model reads, even without its text: "
                    "take fewer --shots or a shorter --template."
                )
            offsets = model.tokenizer.encode(kept, add_special_tokens=False).offsets
            kept = kept[: offsets[-over][0]].rstrip() if over < len(offsets) else ""
            found[at] = _asked(model, [shots + template.asking(kept)], words)[0]
        cut += kept != text
    return Prompts(tuple(found), cut)


def _asked(model: CausalModel, prompts: Sequence[str], words: Sequence[str]) -> list[tuple[Continuation, ...]]:
    """The words behind each prompt, as the tokenizer spells them there: what all have in common is the prompt."""
    spelled = model.tokenizer.encode_batch([prompt + word for prompt in prompts for word in ("", *words)])
    found, each = [], 1 + len(words)
    for at, prompt in enumerate(prompts):
        prompt_ids, *wholes = (one.ids for one in spelled[at * each : (at + 1) * each])
        before = prompt_ids[: common_start([prompt_ids, *wholes])]
        if not before or any(len(whole) == len(before) for whole in wholes):
            raise UserError(f"The prompt {prompt[:40]!r} can't be continued by a word: put something before {{label}}.")
        found.append(tuple(Continuation(tuple(before), tuple(whole[len(before) :])) for whole in wholes))
    return found
