"""A text for a text: translation, summarisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoflop.adaptation.parallel_text import Target, read_pairs, references
from isoflop.adaptation.pretrained import Pretrained
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.saved import check_filled, save_adapted
from isoflop.adaptation.split import TRAIN, Split, make_split
from isoflop.adaptation.task import Files, Floor, Measured, Predictor
from isoflop.adaptation.writing import Lesson, LessonBatches, Writer, manner_of, mean_nats
from isoflop.errors import UserError
from isoflop.evaluation.scores import Figures
from isoflop.evaluation.text_metrics import best_of, bleu, chrf, exact_match, rouge
from isoflop.generation import Beams, Decoding, Greedy, TextGenerator, read_generator, text_generator

METRICS = ("bleu", "rouge")
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

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Predictor:
        """The model in `folder`."""
        return SavedWriter(read_generator(folder), Decoding(Greedy(), int(record.get("answer", 128))))


@dataclass(frozen=True)
class SavedWriter:
    """A saved model that writes, greedily."""

    generator: TextGenerator
    decoding: Decoding
    inputs = ("source",)

    def rows(self, examples: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """What it writes for each source, and the source."""
        check_filled(examples)
        sources = [source for (source,) in examples]
        written = self.generator.write(sources, self.decoding)
        return [(one.text.strip(), text) for one, text in zip(written, sources, strict=True)]


class Seq2SeqTrial:
    """A model that learns to write the targets."""

    def __init__(self, task: Seq2Seq, pretrained: Pretrained, split: Split, recipe: Recipe) -> None:
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
        step = 1 if is_last else max(1, len(whole) // task.checked)
        chosen = range(0, len(whole), step)
        lessons = [self.lessons[part][at] for at in chosen]
        nats, error = mean_nats(self.model, lessons)
        choice = Beams(task.beams) if is_last and task.beams > 1 else Greedy()
        prompts = [one.prompt for one in lessons]
        written = self.generator.go_on(prompts, Decoding(choice, task.answer))
        found, wanted = [one.text.strip() for one in written], [whole.labels[at] for at in chosen]
        scores = text_scores(found, wanted, metric=task.metric, nats=(nats, error))
        rows = [
            (whole.texts[at], references(other)[0], one) for at, other, one in zip(chosen, wanted, found, strict=True)
        ]
        return Measured(scores, ("source", "target", "written"), rows)

    def floor(self) -> Floor | None:
        """The source as it is, or its first sentences: as many as a target has."""
        parts, metric = self.split.held_out, self.task.metric
        if metric == "bleu":
            description, rule = "the source copied", str
        else:
            targets = self.split.parts[TRAIN].labels
            count = max(1, round(sum(len(_sentences(references(one)[0])) for one in targets) / len(targets)))
            description = f"the first {count} sentences of the source" if count > 1 else "the source's first sentence"

            def rule(source: str) -> str:
                return "".join(_sentences(source)[:count]).strip()

        scores = {
            name: text_scores([rule(one) for one in part.texts], part.labels, metric=metric)
            for name, part in parts.items()
        }
        return Floor(description, scores)

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


def text_scores(
    found: Sequence[str],
    wanted: Sequence[Target],
    *,
    metric: str,
    nats: tuple[float, float] | tuple[None, None] = (None, None),
) -> Figures:
    """BLEU, chrF and exact match, or ROUGE; of several targets that would be right, the nearest; `nats` with their
    standard error."""
    right = [references(one) for one in wanted]
    if metric == "bleu":
        values = {"exact": best_of(exact_match, found, right)}
        figures = {"BLEU": bleu(found, right), "chrF": chrf(found, right), "exact": float(values["exact"].mean())}
    else:
        values = {
            name: best_of(lambda one, other, name=name: rouge(one, other)[name], found, right)
            for name in ("ROUGE-1", "ROUGE-2", "ROUGE-L")
        }
        figures = {name: float(one.mean()) for name, one in values.items()}
    main = "BLEU" if metric == "bleu" else "ROUGE-L"
    return Figures(len(found), main, figures, *nats, values={name: one.tolist() for name, one in values.items()})


def _sentences(text: str) -> list[str]:
    """The text in pieces that end where a sentence does, roughly: at a full stop and a space, or a Chinese one."""
    pieces, start = [], 0
    for place in range(len(text)):
        end = next((mark for mark in SENTENCE_ENDS if text.startswith(mark, place)), None)
        if end is not None:
            pieces.append(text[start : place + len(end)])
            start = place + len(end)
    return [*pieces, text[start:]] if text[start:].strip() else pieces
