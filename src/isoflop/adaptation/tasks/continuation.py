"""Texts to go on like: causal fine-tuning, measured in nats per token and bits per byte."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.adaptation.parallel_text import read_column
from isoflop.adaptation.pretrained import Pretrained
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.saved import save_adapted
from isoflop.adaptation.split import TRAIN, Split, make_split
from isoflop.adaptation.task import Files, Floor, Measured, Predictor
from isoflop.adaptation.writing import Lesson, LessonBatches, SavedWriter, Writer, check_method, lesson_nats, manner_of
from isoflop.evaluation.intervals import ratio
from isoflop.evaluation.measure import Measure
from isoflop.evaluation.scores import Figures
from isoflop.generation import Decoding, Greedy, TextGenerator, read_generator, text_generator


@dataclass(frozen=True)
class Generate:
    """Texts, one in each row of a table (`text` names the column) or in each line of a plain file.

    A text longer than the context is divided into pieces, of which each token is predicted once.
    """

    text: str | None = None
    name = "generate"
    purpose = "to go on from text"
    unit = "token"
    stacks = ("decoder",)

    def read(self, files: Files) -> Split:
        """The texts of each part."""
        return make_split(self, {name: read_column(path, text=self.text) for name, path in files.named.items()})

    def trial(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> GenerateTrial:
        """What the engine trains."""
        return GenerateTrial(pretrained, split, recipe)

    def examine(self, predictor: Any, table: Path) -> Measured:
        """How well a saved model predicts other texts."""
        generator: TextGenerator = predictor.generator
        texts = read_column(table, text=self.text).texts
        longest = generator.model.room
        return _measured(Writer(generator.model), [pieces(generator, one, longest) for one in texts], texts)

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Predictor:
        """The model in `folder`."""
        del record
        return SavedWriter(read_generator(folder), Decoding(Greedy()))


class GenerateTrial:
    """A decoder that learns to go on from texts."""

    def __init__(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> None:
        check_method(recipe)
        self.pretrained, self.split = pretrained, split
        self.model, self.manner = Writer(pretrained.model), manner_of(pretrained)
        longest = recipe.tokens_of(pretrained.model.shape.context)
        generator = text_generator(pretrained.model, pretrained.tokenizer, pretrained.info, self.manner)
        self.pieces = {
            name: [pieces(generator, text, longest) for text in part.texts] for name, part in split.parts.items()
        }
        train = [piece for text in self.pieces[TRAIN] for piece in text]
        self.batches = LessonBatches(train, recipe.batch, recipe.seed)
        self.epoch_tokens = sum(map(len, train))
        self.notes: tuple[str, ...] = ()
        self.facts: Mapping[str, Any] = {"longest": longest}
        self.about = (f"Longer texts are divided into pieces of {longest} tokens",)
        self._before = {name: self.measure(name, is_last=False).scores for name in split.held_out}

    def measure(self, part: str, *, is_last: bool) -> Measured:
        """How well the texts are predicted."""
        del is_last
        return _measured(self.model, self.pieces[part], self.split.parts[part].texts)

    def floor(self) -> Floor | None:
        """The model as it was."""
        return Floor("the model before it was fine-tuned", self._before)

    def save(self, folder: Path) -> None:
        """Write the model."""
        self.manner.write(folder)
        save_adapted(folder, self.model.body, {}, info=self.pretrained.info, record={"task": "generate", **self.facts})


def pieces(generator: TextGenerator, text: str, longest: int) -> list[Lesson]:
    """A text and its end as sequences of at most `longest` tokens that are read; its first token is predicted too."""
    begin = () if generator.begin is None else (generator.begin,)
    end = () if generator.end is None else (generator.end,)
    body = generator.encode_whole(text)
    tokens = (*(begin if body[:1] != begin else ()), *body, *end)
    parts = [tokens[start : start + longest + 1] for start in range(0, len(tokens) - 1, longest)]
    return [Lesson(part, (False, *[True] * (len(part) - 1))) for part in parts]


def _measured(model: Writer, texts: Sequence[Sequence[Lesson]], words: Sequence[str]) -> Measured:
    nats, counts = lesson_nats(model, [piece for text in texts for piece in text])
    first = np.cumsum([0, *(len(text) for text in texts)])[:-1]
    rows_N3 = np.stack(
        (np.add.reduceat(nats, first), np.add.reduceat(counts, first), [len(one.encode()) for one in words]), axis=1
    )
    bits, each = float(_bits_per_byte(rows_N3.mean(axis=0))), rows_N3[:, 0] / rows_N3[:, 1]
    total = float(rows_N3[:, 0].sum() / rows_N3[:, 1].sum())
    figures = {"bits per byte": bits, "nats per token": total, "perplexity": math.exp(min(total, 700.0))}
    scores = Figures(
        len(texts),
        "bits per byte",
        figures,
        nats=float(each.mean()),
        nats_standard_error=float(each.std() / math.sqrt(len(each))),
        lower_is_better=True,
        measures={
            "bits per byte": Measure(rows_N3, _bits_per_byte, unit="texts"),
            "nats per token": Measure(rows_N3, ratio, unit="texts"),
            "perplexity": Measure(rows_N3, lambda means: np.exp(ratio(means)), unit="texts"),
        },
    )
    return Measured(scores, ("text", "nats"), [(text, f"{one:.6f}") for text, one in zip(words, each, strict=True)])


def _bits_per_byte(means: NDArray[np.float64]) -> NDArray[np.float64]:
    return means[..., 0] / means[..., 2] / math.log(2)
