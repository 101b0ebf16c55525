"""Questions that a stretch of a given text answers, or nothing in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from isoflop.adaptation.batches import TextBatches
from isoflop.adaptation.pairs import reads_pairs
from isoflop.adaptation.pretrained import Pretrained
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.rows import Record
from isoflop.adaptation.saved import TASK, check_filled, damaged, load_body, put_head, save_adapted
from isoflop.adaptation.span_answers import Answers, SpanModel, answers_of, likest_sentence
from isoflop.adaptation.split import TRAIN, Split, make_split
from isoflop.adaptation.table import Fault, LabelledTexts, filled, read_examples
from isoflop.adaptation.task import Files, Floor, Measured, Predictor
from isoflop.adaptation.windows import NO_ANSWER, Window, Windows, windows_of
from isoflop.errors import UserError
from isoflop.evaluation.answers import answer_scores, best_threshold

Right = tuple[tuple[str, int], ...]
"""The right answers and the characters of the context that they begin at; none where there is no answer."""


@dataclass(frozen=True)
class QuestionColumns:
    """Which columns hold question, context and answers; None before they are known."""

    question: str | None
    context: str | None
    answers: str | None


@dataclass(frozen=True)
class Questions:
    """A table or JSON of SQuAD's form. Contexts are read in windows that share `stride` tokens; an answer has at most
    `most` tokens."""

    question: str | None = None
    context: str | None = None
    answers: str | None = None
    stride: int = 128
    most: int = 30
    name = "qa"
    purpose = "to answer questions from a text"
    unit = "end of an answer"
    stacks = ("encoder",)

    def __post_init__(self) -> None:
        for name, value, least in (("stride", self.stride, 0), ("most", self.most, 1)):
            if value < least:
                raise UserError(f"The setting {name} is {value}: it must be at least {least}.")

    def read(self, files: Files) -> Split:
        """Read the parts. Raises `UserError` for an answer that is not in its context, and where train has none."""
        columns: Any = QuestionColumns(self.question, self.context, self.answers)
        parts: dict[str, LabelledTexts] = {}
        for name, path in files.named.items():
            parts[name] = read_examples(path, columns, _parse)
            columns = parts[name].columns
        if not any(parts[TRAIN].labels):
            raise UserError(f"{files.train} has no question with an answer: there is nothing to learn.")
        return make_split(self, parts)

    def trial(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> QuestionsTrial:
        """What the engine trains."""
        return QuestionsTrial(pretrained, split, recipe, self)

    def examine(self, predictor: Answerer, table: Path) -> Measured:
        """How right the answers of a saved model are on another table, with the threshold that it has."""
        part = read_examples(table, QuestionColumns(self.question, self.context, self.answers), _parse)
        windows = windows_of(predictor.tokenizer, part.texts, longest=predictor.longest, stride=predictor.how.stride)
        targets = _targets(windows, part.labels)
        found = answers_of(predictor.model, windows, part.texts, predictor.how.most, targets=targets)
        return _measured(found, part, predictor.threshold)

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Predictor:
        """The model in `folder`."""
        longest, stride, most = (record.get(name) for name in ("longest", "stride", "most"))
        threshold = record.get("threshold")
        if not all(isinstance(one, int) for one in (longest, stride, most)):
            raise damaged(folder / TASK)
        if threshold is not None and not isinstance(threshold, (int, float)):
            raise damaged(folder / TASK)
        body, tokenizer = load_body(folder)
        model = SpanModel(body)
        put_head(model.head, folder)
        how = Questions(stride=int(stride or 0), most=int(most or 0))
        return Answerer(model, reads_pairs(tokenizer), int(longest or 0), how, threshold)


def _parse(record: Record, columns: QuestionColumns) -> tuple[tuple[str, str], Right]:
    question = filled(record, str(columns.question), "question")
    context = filled(record, str(columns.context), "context")
    if record.get("impossible") is True or record.get("is_impossible") is True:
        return (question, context), ()
    return (question, context), tuple(_placed(one, context) for one in _listed(record.get(str(columns.answers))))


def _listed(cell: Any) -> list[Any]:
    """The answers one by one: a list of objects or of texts, the lists of `datasets`, one text, or nothing."""
    if cell is None or cell == "":
        return []
    if isinstance(cell, Mapping) and isinstance(cell.get("text"), (list, tuple)):
        starts = cell.get("answer_start", cell.get("start", [None] * len(cell["text"])))
        return [{"text": text, "start": start} for text, start in zip(cell["text"], starts, strict=False)]
    return list(cell) if isinstance(cell, (list, tuple)) else [cell]


def _placed(answer: Any, context: str) -> tuple[str, int]:
    """An answer's text and where it begins. Raises `Fault` where it is not there."""
    told = answer if isinstance(answer, Mapping) else {"text": answer}
    text, start = told.get("text"), told.get("start", told.get("answer_start"))
    if not isinstance(text, str) or not text.strip():
        raise Fault(f"the answer {text!r} is no text: give an empty list where there is no answer.")
    start = context.find(text) if start is None else start
    if not isinstance(start, int) or start < 0 or context[start : start + len(text)] != text:
        where = "" if not isinstance(start, int) or start < 0 else f" at character {start}"
        raise Fault(f"the answer {text[:40]!r} is not in the context{where}: correct it.")
    return text, start


class QuestionsTrial:
    """A `SpanModel` on windows over contexts; whether there is an answer is told by a threshold chosen on dev."""

    def __init__(self, pretrained: Pretrained, split: Split, recipe: Recipe, how: Questions) -> None:
        self.pretrained, self.split, self.how = pretrained, split, how
        body, tokenizer = pretrained.model, reads_pairs(pretrained.tokenizer)
        self.longest = recipe.tokens_of(body.shape.context)
        self.windows = {
            name: windows_of(tokenizer, part.texts, longest=self.longest, stride=how.stride)
            for name, part in split.parts.items()
        }
        self.targets = {name: _targets(self.windows[name], part.labels) for name, part in split.parts.items()}
        self.model = SpanModel(body, seed=recipe.seed)
        train = self.windows[TRAIN].texts
        self.batches = TextBatches(
            train, self.targets[TRAIN], recipe.batch, recipe.seed, has_segments=body.shape.segments > 1
        )
        self.epoch_tokens = sum(map(len, train.sequences))
        self.threshold: float | None = None if all(split.train.labels) else 0.0
        self.facts = {"longest": self.longest, "stride": how.stride, "most": how.most}
        self.notes = tuple(self._notes())

    @property
    def about(self) -> tuple[str, ...]:
        """Lines of the card."""
        read = f"Contexts are read in windows of {self.longest} tokens that share {self.how.stride}"
        if self.threshold is None:
            return (f"{read}; every question gets an answer, as in train",)
        chosen = "chosen on dev, which flatters dev's own figures" if "dev" in self.split.parts else "not chosen on dev"
        return (f"{read}; none is given where it is less than {self.threshold:.3f} likelier (in nats), {chosen}",)

    def measure(self, part: str, *, is_last: bool) -> Measured:
        """The answers, and how right they are; dev also gives the threshold."""
        del is_last
        texts = self.split.parts[part]
        found = answers_of(self.model, self.windows[part], texts.texts, self.how.most, targets=self.targets[part])
        if part == "dev" and self.threshold is not None:
            self.threshold = best_threshold(found.margins, found.texts, _right(texts))
        return _measured(found, texts, self.threshold)

    def floor(self) -> Floor | None:
        """Never an answer where it may be withheld, else the sentence that has most of the question's words."""
        silent = self.threshold is not None
        likest = "the sentence with most of the question's words"
        described = f"no answer to any question; forced to one, {likest}" if silent else likest
        scores = {}
        for name, part in self.split.held_out.items():
            forced = [likest_sentence(*pair) for pair in part.texts]
            told = [""] * len(forced) if silent else forced
            scores[name] = answer_scores(told, _right(part), forced=forced if silent else None)
        return Floor(described, scores)

    def save(self, folder: Path) -> None:
        """Write the model."""
        record = {"task": "qa", **self.facts, "threshold": self.threshold}
        save_adapted(folder, self.model.body, self.model.head.state_dict(), info=self.pretrained.info, record=record)

    def _notes(self) -> list[str]:
        found = []
        for name, windows in self.windows.items():
            count, parts = len(self.split.parts[name]), f"questions of {name}"
            if len(windows.windows) > count:
                found.append(f"The {count:,} {parts} are read in {len(windows.windows):,} windows.")
            if windows.cut_questions:
                found.append(f"{windows.cut_questions} of the {count:,} {parts} are too long: their ends were cut.")
        answered = {window.example for window, (start, _) in self._of_train() if start != NO_ANSWER}
        lost = sum(bool(some) for some in self.split.train.labels) - len(answered)
        if lost:
            found.append(f"{lost} answers of train are in no window as a whole, and count as none: raise stride.")
        return found

    def _of_train(self) -> list[tuple[Window, tuple[int, int]]]:
        return list(zip(self.windows[TRAIN].windows, self.targets[TRAIN], strict=True))


@dataclass(frozen=True)
class Answerer:
    """A saved `SpanModel` with all that it needs to answer; `threshold` None: it always does."""

    model: SpanModel
    tokenizer: Tokenizer
    longest: int
    how: Questions
    threshold: float | None
    inputs = ("question", "context")

    def predict(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, float]]:
        """The answer to each question from its context ("" for none), and by how many nats it is likelier than none.
        Raises `UserError` for an empty text."""
        check_filled(pairs)
        if not pairs:
            return []
        windows = windows_of(self.tokenizer, pairs, longest=self.longest, stride=self.how.stride)
        found = answers_of(self.model, windows, pairs, self.how.most)
        return list(zip(_kept(found, self.threshold), found.margins, strict=True))

    def rows(self, examples: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """The answer, its margin over none, and the question."""
        told = self.predict([(question, context) for question, context in examples])
        return [(answer, f"{margin:.4f}", pair[0]) for (answer, margin), pair in zip(told, examples, strict=True)]


def _targets(windows: Windows, labels: Sequence[Right]) -> list[tuple[int, int]]:
    """Start and end of the first right answer in each window."""
    found = []
    for window in windows.windows:
        right = labels[window.example]
        spans = [window.tokens_of(start, start + len(text)) for text, start in right[:1]]
        found.append(spans[0] if spans else (NO_ANSWER, NO_ANSWER))
    return found


def _right(part: LabelledTexts) -> list[list[str]]:
    return [[text for text, _ in some] for some in part.labels]


def _measured(found: Answers, part: LabelledTexts, threshold: float | None) -> Measured:
    right, told = _right(part), _kept(found, threshold)
    rows = [
        (question, some[0] if some else "", answer, f"{margin:.4f}")
        for (question, _), some, answer, margin in zip(part.texts, right, told, found.margins, strict=True)
    ]
    forced = None if threshold is None else found.texts
    scores = answer_scores(told, right, forced=forced, nats_N=found.nats)
    return Measured(scores, ("question", "answer", "predicted", "margin"), rows)


def _kept(found: Answers, threshold: float | None) -> list[str]:
    """The answers that are given."""
    if threshold is None:
        return found.texts
    return [text if margin > threshold else "" for text, margin in zip(found.texts, found.margins, strict=True)]
