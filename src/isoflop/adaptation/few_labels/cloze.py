"""Texts as cloze questions: the label is told by the word that a pretrained model puts at one place of a template.

B texts, T tokens, D width, V vocabulary, K labels, W words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from isoflop.adaptation.few_labels.template import TEXT, Template, Verbalizer
from isoflop.adaptation.pretrained import Tokenized
from isoflop.adaptation.task_model import TaskModel
from isoflop.data.objectives import OBJECTIVES
from isoflop.errors import UserError
from isoflop.evaluation.language_model import marks_of
from isoflop.models import PADDING, Batch, Model, ModelInfo


@dataclass(frozen=True)
class Questions:
    """How a text becomes tokens: what stands before and behind it in the template, with the model's own marks.

    The place that is asked for is one that `asked` names: a mask, or, where that is None, the end.
    """

    tokenizer: Tokenizer
    template: Template
    longest: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    asked: int | None

    def tokens(self, texts: Sequence[str]) -> Tokenized:
        """The questions' tokens; a text that does not fit loses its end. Raises `UserError` where nothing fits."""
        whole = [self._asking(text) for text in texts]
        cut = 0
        for at, text in enumerate(texts):
            kept = text
            while (over := len(whole[at]) - self.longest) > 0:
                offsets = self.tokenizer.encode(kept, add_special_tokens=False).offsets
                if over >= len(offsets):
                    raise UserError(
                        f"A question is longer than {self.longest} tokens even without its text: shorten the template."
                    )
                kept = kept[: offsets[-over][0]].rstrip()
                whole[at] = self._asking(kept)
            cut += kept != text
        return Tokenized(tuple(whole), cut)

    def _asking(self, text: str) -> tuple[int, ...]:
        """Tokens up to the word's place, and behind it where the model reads both ways."""
        front, _, behind = self.template.form.partition("{label}")
        parts = [front.rstrip(" ").replace(TEXT, text), behind.replace(TEXT, text)]
        first, second = (one.ids for one in self.tokenizer.encode_batch(parts, add_special_tokens=False))
        if self.asked is None:
            return (*self.before, *first)
        words = ([token for token in part if token != self.asked] for part in (first, second))  # a text may have a mask
        return (*self.before, *next(words), self.asked, *next(words), *self.after)


def questions_of(tokenizer: Tokenizer, info: ModelInfo, template: Template, *, longest: int) -> Questions:
    """How `info`'s model is asked. Raises `UserError` for an encoder that was never trained to name words, and for a
    template whose word a decoder would have to tell before it has read the text."""
    assert info.tokenizer is not None
    folder = info.tokenizer.parent
    if info.shape.stack == "decoder":
        template.asking("")
        if template.form.partition("{label}")[2].strip(" ."):
            raise UserError(f"The template {template.form!r} goes on behind {{label}}, which a decoder can't read.")
        start = tuple(tokenizer.encode("").ids)
        return Questions(tokenizer, template, longest, start, (), None)
    known = OBJECTIVES.get(info.objective)
    if known is None or known.stack != "encoder":
        raise UserError(
            f"The model in {folder} was not trained to name hidden words (its objective is {info.objective}), so it "
            "can't answer cloze questions: name an encoder that was."
        )
    marks = marks_of(tokenizer, folder)
    return Questions(tokenizer, template, longest, marks.before, marks.after, marks.mask)


@dataclass(frozen=True)
class Patterns:
    """The same asked in several ways, and the tokens of each label's words, which are the same in all."""

    questions: tuple[Questions, ...]
    words: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.questions)

    def tokens(self, texts: Sequence[str]) -> Tokenized:
        """All texts by the first pattern, then all by the next; a text counts as cut where it is most often."""
        asked = [one.tokens(texts) for one in self.questions]
        return Tokenized(tuple(row for one in asked for row in one.sequences), max(one.cut for one in asked))


def patterns_of(
    tokenizer: Tokenizer, info: ModelInfo, asking: tuple[Sequence[Template], Verbalizer], *, longest: int
) -> Patterns:
    """How `info`'s model is asked by each template. Raises `UserError` as `questions_of` and `word_tokens`, for a
    template that is there twice, and where the words' tokens differ between templates."""
    templates, verbalizer = asking
    twice = next((one for at, one in enumerate(templates) if one in templates[:at]), None)
    if twice is not None:
        raise UserError(f"The template {twice.form!r} is there twice: leave one out.")
    words = [word_tokens(tokenizer, one, verbalizer) for one in templates]
    strange = next((one for one, tokens in zip(templates, words, strict=True) if tokens != words[0]), None)
    if strange is not None:
        raise UserError(
            f"Labels' words are other tokens in {strange.form!r} than in {templates[0].form!r}: put a space before "
            "{label} in all of the templates, or in none."
        )
    questions = tuple(questions_of(tokenizer, info, one, longest=longest) for one in templates)
    return Patterns(questions, words[0])


def word_tokens(tokenizer: Tokenizer, template: Template, verbalizer: Verbalizer) -> tuple[tuple[int, ...], ...]:
    """The token of each word of each label. Raises `UserError` for a word that is not one token."""
    found = []
    for words in verbalizer.words:
        spelled = [tokenizer.encode(template.space + word, add_special_tokens=False).ids for word in words]
        bad = next((word for word, ids in zip(words, spelled, strict=True) if len(ids) != 1), None)
        if bad is not None:
            raise UserError(
                f"The word {bad!r} is not one token of the model's vocabulary, and one place holds one: choose another."
            )
        found.append(tuple(ids[0] for ids in spelled))
    return tuple(found)


@final
class ClozeModel(TaskModel):
    """`body` with its own head, read at the place that is asked for.

    A label's logit is ln of the mean of exp(logit) of its words; with one word for each label it is that word's, as in
    Schick and Schütze 2020, arXiv 2001.07676, section 3.1, and the loss is the cross-entropy of labels there.
    """

    body: Model

    def __init__(self, body: Model, patterns: Patterns) -> None:
        super().__init__()
        self.body, self.asked, self.patterns = body, patterns.questions[0].asked, len(patterns)
        self.sizes = [len(one) for one in patterns.words]
        words = torch.tensor([token for one in patterns.words for token in one])
        self.register_buffer("word_W", words, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """Logits of labels (B, 1, K)."""
        x_BTD, rows = self.body.features(batch), torch.arange(len(batch.inputs), device=batch.inputs.device)
        logit_BW = self.body.head(x_BTD[rows, self._places(batch)])[:, self.word_W]
        per_label = logit_BW.float().split(self.sizes, dim=1)
        return torch.stack([one.logsumexp(dim=1) - math.log(one.shape[1]) for one in per_label], dim=1)[:, None]

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy of the labels in nats."""
        return F.cross_entropy(self(batch)[:, 0], batch.targets[:, 0])

    def unread(self) -> list[torch.nn.Parameter]:
        """What judges pairs of sentences; all else is read."""
        parts = [getattr(self.body, name, None) for name in ("pooler", "pair_head")]
        return [weight for part in parts if part is not None for weight in part.parameters()]

    def _places(self, batch: Batch) -> Tensor:
        """Of each sequence the place that is asked for (B,): its mask, or its last token."""
        there_BT = torch.ones_like(batch.inputs) if batch.documents is None else (batch.documents != PADDING).long()
        if self.asked is not None:
            there_BT = there_BT * (batch.inputs == self.asked)
        place_T = torch.arange(1, batch.inputs.shape[1] + 1, device=batch.inputs.device)
        return (there_BT * place_T).argmax(dim=1)
