"""A text for a text: translation, summarisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.adaptation.parallel_text import Target, read_pairs, references
from isoflop.adaptation.pretrained import Pretrained
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.saved import save_adapted
from isoflop.adaptation.split import TRAIN, Split, make_split
from isoflop.adaptation.table import LabelledTexts
from isoflop.adaptation.task import Files, Floor, Measured, Predictor
from isoflop.adaptation.writing import Lesson, LessonBatches, SavedWriter, Writer, check_method, manner_of, mean_nats
from isoflop.errors import UserError
from isoflop.evaluation.measure import Measure
from isoflop.evaluation.scores import Figures
from isoflop.evaluation.text_metrics import (
    best_of,
    bleu,
    bleu_counts,
    bleu_of_means,
    chrf,
    chrf_counts,
    chrf_of_means,
    exact_match,
    rouge,
)
from isoflop.generation import Beams, Decoding, Greedy, read_generator, text_generator

METRICS = ("bleu", "rouge")
ROUGE = ("ROUGE-1", "ROUGE-2", "ROUGE-L")
Nats = tuple[float, float] | tuple[None, None]
"""The mean loss and its standard error, where there is one."""
SENTENCE_ENDS = (". ", "! ", "? ", "。", "！", "？")


@dataclass(frozen=True)
class Seq2Seq:
    """Pairs of a source and a target: two columns of a table, or two files side by side (`train.en` with target `de`).

    `prompt` is what a decoder, which has no encoder, reads of a source; `answer` the most tokens of a target; `beams`
    how many are searched for the final figures (greedy choice after an epoch); `checked` how many examples of dev are
    answered after an epoch; `metric` is what counts: bleu (translation) or rouge (summaries).
    """

    source: str | None = None
    target: str | None = None
    metric: str = "bleu"
    prompt: str = "{source}\n=>"
    answer: int = 128
    beams: int = 1
    checked: int = 500
    name = "seq2seq"
    purpose = "to turn a text into another"
    unit = "token"
    stacks = ("encoder_decoder", "decoder")

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise UserError(f"The setting metric is {self.metric!r}: choose {' or '.join(METRICS)}.")
        if "{source}" not in self.prompt:
            raise UserError(f"The setting prompt is {self.prompt!r}: write {{source}} where the source goes.")
        for name in ("answer", "beams", "checked"):
            if getattr(self, name) < 1:
                raise UserError(f"The setting {name} must be at least 1, not {getattr(self, name)}.")

    def read(self, files: Files) -> Split:
        """The pairs of each part."""
        parts = {name: read_pairs(path, source=self.source, target=self.target) for name, path in files.named.items()}
        return make_split(self, parts)

    def trial(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> Seq2SeqTrial:
        """What the engine trains."""
        return Seq2SeqTrial(self, pretrained, split, recipe)

    def examine(self, predictor: Any, table: Path) -> Measured:
        """How near what a saved model writes is to the targets of another table."""
        part = read_pairs(table, source=self.source, target=self.target)
        written = [row[0] for row in predictor.rows([(text,) for text in part.texts])]
        return _measured(part, written, metric=self.metric)

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Predictor:
        """The model in `folder`."""
        return SavedWriter(read_generator(folder), Decoding(Greedy(), int(record.get("answer", 128))))


class Seq2SeqTrial:
    """A model that learns to write the targets."""

    def __init__(self, task: Seq2Seq, pretrained: Pretrained, split: Split, recipe: Recipe) -> None:
        check_method(recipe)
        self.task, self.pretrained, self.split = task, pretrained, split
        self.model = Writer(pretrained.model)
        self.longest = recipe.tokens_of(pretrained.model.shape.context)
        prompt = None if self.model.has_encoder else task.prompt
        self.manner = dataclasses.replace(manner_of(pretrained), kind="seq2seq", prompt=prompt)
        self.generator = text_generator(pretrained.model, pretrained.tokenizer, pretrained.info, self.manner)
        self.lessons, cut = {}, {}
        for name, part in split.parts.items():
            self.lessons[name], cut[name] = self._lessons(part.texts, part.labels)
        self.batches = LessonBatches(self.lessons[TRAIN], recipe.batch, recipe.seed)
        self.epoch_tokens = sum(map(len, self.lessons[TRAIN]))
        self.notes = tuple(
            f"{count} of the {len(split.parts[name]):,} pairs of {name} are too long for {self.longest} tokens "
            f"(or {task.answer} of the target): their ends were cut."
            for name, count in cut.items()
            if count
        )
        self.facts = {"metric": task.metric, "prompt": self.manner.prompt, "answer": task.answer, "beams": task.beams}
        self.about = (f"Texts are cut behind {self.longest} tokens, targets behind {task.answer}",)

    def measure(self, part: str, *, is_last: bool) -> Measured:
        """What the model writes for each source, and how near it is to the target."""
        task, whole = self.task, self.split.parts[part]
        chosen = range(0, len(whole), 1 if is_last else max(1, len(whole) // task.checked))
        lessons = [self.lessons[part][at] for at in chosen]
        nats = mean_nats(self.model, lessons)
        decoding = Decoding(Beams(task.beams) if is_last and task.beams > 1 else Greedy(), task.answer)
        written = self.generator.go_on([one.prompt for one in lessons], decoding)
        return _measured(whole.take(chosen), [one.text for one in written], metric=task.metric, nats=nats)

    def floor(self) -> Floor | None:
        """The source as it is, or its first sentences: as many as a target has."""
        parts, metric = self.split.held_out, self.task.metric
        count = None
        if metric == "rouge":
            targets = self.split.parts[TRAIN].labels
            count = max(1, round(sum(len(_sentences(references(one)[0])) for one in targets) / len(targets)))
        scores = {
            name: text_scores([_lead(one, count) for one in part.texts], part.labels, metric=metric)
            for name, part in parts.items()
        }
        if count is None:
            return Floor("the source copied", scores)
        return Floor(f"the first {count} sentences of the source" if count > 1 else "the first sentence", scores)

    def save(self, folder: Path) -> None:
        """Write the model and how it is asked."""
        self.manner.write(folder)
        record = {"task": "seq2seq", **self.facts}
        save_adapted(folder, self.model.body, {}, info=self.pretrained.info, record=record)

    def _lessons(self, sources: Sequence[str], targets: Sequence[Target]) -> tuple[list[Lesson], int]:
        """Lessons of pairs, and how many had to be cut."""
        generator, lessons, cut = self.generator, [], 0
        for source, target in zip(sources, targets, strict=True):
            answer = generator.encode_answer(self.model.joined(references(target)[0]))
            prompt = generator.encode(
                source, longest=self.longest - (0 if self.model.has_encoder else self.task.answer)
            )
            kept = answer[: self.task.answer]
            cut += len(kept) < len(answer) or prompt != generator.encode(source)
            lessons.append(self.model.lesson(prompt, kept, generator.marks))
        return lessons, cut


def _measured(part: LabelledTexts, written: Sequence[str], *, metric: str, nats: Nats = (None, None)) -> Measured:
    found = [one.strip() for one in written]
    scores = text_scores(found, part.labels, metric=metric, nats=nats)
    told = zip(part.texts, part.labels, found, strict=True)
    rows = [(text, references(label)[0], one) for text, label, one in told]
    return Measured(scores, ("source", "target", "written"), rows)


def text_scores(found: Sequence[str], wanted: Sequence[Target], *, metric: str, nats: Nats = (None, None)) -> Figures:
    """BLEU, chrF and exact match, or ROUGE; of several targets that would be right, the nearest."""
    right = [references(one) for one in wanted]
    measures: dict[str, Measure] = {}
    if metric == "bleu":
        values = {"exact": best_of(exact_match, found, right)}
        figures = {"BLEU": bleu(found, right), "chrF": chrf(found, right), "exact": float(values["exact"].mean())}
        measures = {
            "BLEU": Measure(bleu_counts(found, right), bleu_of_means),
            "chrF": Measure(chrf_counts(found, right), chrf_of_means),
            "exact": Measure(values["exact"]),
        }
    else:
        values = {name: best_of(partial(_one_rouge, name), found, right) for name in ROUGE}
        figures = {name: float(one.mean()) for name, one in values.items()}
    return Figures(
        len(found),
        "BLEU" if metric == "bleu" else "ROUGE-L",
        figures,
        nats=nats[0],
        nats_standard_error=nats[1],
        values={name: one.tolist() for name, one in values.items()},
        measures=measures,
    )


def _one_rouge(name: str, found: Sequence[str], wanted: Sequence[str]) -> NDArray[np.float64]:
    return rouge(found, wanted)[name]


def _lead(text: str, count: int | None) -> str:
    """The first `count` sentences; None: all."""
    return text.strip() if count is None else "".join(_sentences(text)[:count]).strip()


def _sentences(text: str) -> list[str]:
    """The text in pieces that end where a sentence does, roughly: at a full stop and a space, or a Chinese one."""
    pieces, start = [], 0
    for place in range(len(text)):
        end = next((mark for mark in SENTENCE_ENDS if text.startswith(mark, place)), None)
        if end is not None:
            pieces.append(text[start : place + len(end)])
            start = place + len(end)
    return [*pieces, text[start:]] if text[start:].strip() else pieces
