"""Conversations and instructions: the loss is on the answers alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isoflop.adaptation.conversations import Turns, conversation_lesson, manner_for_chat, read_conversations
from isoflop.adaptation.pretrained import Pretrained
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.saved import save_adapted
from isoflop.adaptation.split import TRAIN, Split, make_split
from isoflop.adaptation.task import Files, Floor, Measured, Predictor
from isoflop.adaptation.writing import Lesson, LessonBatches, SavedWriter, Writer, check_method, lesson_nats
from isoflop.errors import UserError
from isoflop.evaluation.intervals import ratio
from isoflop.evaluation.measure import Measure
from isoflop.evaluation.scores import Figures
from isoflop.generation import Decoding, Greedy, TextGenerator, read_generator, text_generator


@dataclass(frozen=True)
class Chat:
    """Conversations: a column `messages` (objects of role and content, several turns), or columns of a prompt and its
    response (`prompt` and `response` name them). `answer` is the most tokens of a written answer."""

    prompt: str | None = None
    response: str | None = None
    answer: int = 256
    name = "chat"
    purpose = "to answer in conversation"
    unit = "token"
    stacks = ("decoder",)

    def __post_init__(self) -> None:
        if self.answer < 1:
            raise UserError(f"The setting answer must be at least 1, not {self.answer}.")

    def read(self, files: Files) -> Split:
        """The conversations of each part."""
        parts = {
            name: read_conversations(path, prompt=self.prompt, response=self.response)
            for name, path in files.named.items()
        }
        return make_split(self, parts)

    def trial(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> ChatTrial:
        """What the engine trains."""
        return ChatTrial(self, pretrained, split, recipe)

    def examine(self, predictor: Any, table: Path) -> Measured:
        """How well a saved model predicts the answers of other conversations."""
        generator: TextGenerator = predictor.generator
        part = read_conversations(table, prompt=self.prompt, response=self.response)
        lessons = [_cut(conversation_lesson(generator, turns), generator.model.room) for turns in part.texts]
        return _measured(Writer(generator.model), lessons, part.texts)

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Predictor:
        """The model in `folder`."""
        return SavedWriter(read_generator(folder), Decoding(Greedy(), int(record.get("answer", 256))))


class ChatTrial:
    """A decoder that learns to answer."""

    def __init__(self, task: Chat, pretrained: Pretrained, split: Split, recipe: Recipe) -> None:
        check_method(recipe)
        self.task, self.pretrained, self.split = task, pretrained, split
        self.model = Writer(pretrained.model)
        self.longest = recipe.tokens_of(pretrained.model.shape.context)
        manner, note = manner_for_chat(pretrained)
        generator = text_generator(pretrained.model, pretrained.tokenizer, pretrained.info, manner)
        self.lessons = {
            name: [conversation_lesson(generator, turns) for turns in part.texts] for name, part in split.parts.items()
        }
        last = {lesson.tokens[-1] for lesson in self.lessons[TRAIN] if len(lesson.tokens) <= self.longest}
        stops = sorted(generator.marks.stop | (last if len(last) == 1 else set()))
        self.manner = dataclasses.replace(manner, tokens={**manner.tokens, "eos_token_id": stops})
        self.lessons = {name: [_cut(one, self.longest) for one in lessons] for name, lessons in self.lessons.items()}
        train = [lesson for lesson in self.lessons[TRAIN] if any(lesson.learnt)]
        if not train:
            raise UserError(f"No answer of train begins within {self.longest} tokens: raise --max-length.")
        self.batches = LessonBatches(train, recipe.batch, recipe.seed)
        self.epoch_tokens = sum(map(len, train))
        self.notes = (*note, *self._cuts())
        self.facts: Mapping[str, Any] = {"answer": task.answer, "longest": self.longest, "template": manner.chat}
        self.about = (f"Conversations are cut behind {self.longest} tokens",)
        self._before = {name: self.measure(name, is_last=False).scores for name in split.held_out}

    def _cuts(self) -> tuple[str, ...]:
        """What to say of conversations that are too long."""
        told = []
        for name, lessons in self.lessons.items():
            cut, lost = sum(len(one) == self.longest for one in lessons), sum(not any(one.learnt) for one in lessons)
            if cut:
                out = f", and {lost} of them, whose answers come later, count for nothing" if lost else ""
                told.append(f"{cut} of the {len(lessons):,} conversations of {name} fill {self.longest} tokens: "
                            f"what is beyond was cut{out}.")  # fmt: skip
        return tuple(told)

    def measure(self, part: str, *, is_last: bool) -> Measured:
        """How well the answers are predicted."""
        del is_last
        return _measured(self.model, self.lessons[part], self.split.parts[part].texts)

    def floor(self) -> Floor | None:
        """The model as it was."""
        return Floor("the model before it was fine-tuned", self._before)

    def save(self, folder: Path) -> None:
        """Write the model and its chat template."""
        self.manner.write(folder)
        save_adapted(folder, self.model.body, {}, info=self.pretrained.info, record={"task": "chat", **self.facts})


def _cut(lesson: Lesson, longest: int) -> Lesson:
    return Lesson(lesson.tokens[:longest], lesson.learnt[:longest])


def _measured(model: Writer, lessons: Sequence[Lesson], conversations: Sequence[Turns]) -> Measured:
    """Nats per token of the answers; a conversation whose answers were all cut has none."""
    kept = [at for at, one in enumerate(lessons) if any(one.learnt)]
    if not kept:
        raise UserError(
            "No answer begins within the model's context: raise --max-length, or shorten the conversations."
        )
    nats, counts = lesson_nats(model, [lessons[at] for at in kept])
    each = nats / counts
    mean = float(nats.sum() / counts.sum())
    rows_N2 = [[float(one), float(count)] for one, count in zip(nats, counts, strict=True)]
    scores = Figures(
        len(kept),
        "nats per answer token",
        {"nats per answer token": mean, "perplexity": math.exp(min(mean, 700.0))},
        nats=float(each.mean()),
        nats_standard_error=float(each.std() / math.sqrt(len(each))),
        lower_is_better=True,
        measures={
            "nats per answer token": Measure(rows_N2, ratio, unit="conversations"),
            "perplexity": Measure(rows_N2, lambda means: np.exp(ratio(means)), unit="conversations"),
        },
    )
    known = dict(zip(kept, each, strict=True))
    rows = [
        (" / ".join(content for _, content in turns), f"{known[at]:.6f}" if at in known else "")
        for at, turns in enumerate(conversations)
    ]
    return Measured(scores, ("conversation", "nats"), rows)
