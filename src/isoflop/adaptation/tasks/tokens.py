"""A tag for each word: names of people and places, parts of speech.

B batch, T tokens, N texts, K tags, D width.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from isoflop.adaptation.batches import TextBatches
from isoflop.adaptation.floor import is_cjk
from isoflop.adaptation.heads import last_states, new_head
from isoflop.adaptation.prediction import outputs
from isoflop.adaptation.pretrained import ENCODED_AT_ONCE, Pretrained, Tokenized
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.rows import Record
from isoflop.adaptation.saved import check_filled, labels_in, load_body, put_head, save_adapted
from isoflop.adaptation.split import TRAIN, Split, make_split
from isoflop.adaptation.table import Fault, LabelledTexts, read_examples
from isoflop.adaptation.task import Files, Floor, Measured, Predictor
from isoflop.adaptation.task_model import TaskModel
from isoflop.adaptation.tasks.classify import check_labels, in_order
from isoflop.errors import UserError
from isoflop.evaluation.spans import OUTSIDE, tagging_scores
from isoflop.models import IGNORED, Batch, Model


@dataclass(frozen=True)
class TokenColumns:
    """Which columns hold the words and their tags, both lists; None before they are known."""

    tokens: str | None
    tags: str | None


@dataclass(frozen=True)
class Tokens:
    """A table with lists of words and of tags, or a CoNLL file: a word and its tag on each line."""

    tokens: str | None = None
    tags: str | None = None
    name = "tokens"
    purpose = "to tag words"
    unit = "tag"
    stacks = ("encoder", "decoder")

    def read(self, files: Files) -> Split:
        """Read the parts. Raises `UserError` for one tag only, a tag unknown to train, lists of unlike length."""
        first = read_examples(files.train, TokenColumns(self.tokens, self.tags), _parse)
        labels = in_order({tag for some in first.labels for tag in some})
        if len(labels) < 2:
            raise UserError(f"{files.train} has one tag only, {labels[0]!r}: there is nothing to tell apart.")
        parts = {TRAIN: first}
        for name, path in files.held_out.items():
            parts[name] = read_examples(path, first.columns, _parse)
            check_labels(parts[name], labels, files.train)
        return make_split(self, parts, labels=labels)

    def trial(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> TokensTrial:
        """What the engine trains."""
        return TokensTrial(pretrained, split, recipe)

    def examine(self, predictor: TextTagger, table: Path) -> Measured:
        """How right the tags of a saved model are on another table or CoNLL file."""
        part = read_examples(table, TokenColumns(self.tokens, self.tags), _parse)
        check_labels(part, predictor.labels, None)
        model = predictor.model
        words = tokenize_words(
            predictor.tokenizer, part.texts, longest=predictor.longest, at_end=_reads_ahead(model.body)
        )
        return _measured(model, words, part, predictor.labels)

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Predictor:
        """The model in `folder`."""
        labels, longest = labels_in(folder, record)
        body, tokenizer = load_body(folder)
        model = Tagger(body, len(labels))
        put_head(model.head, folder)
        return TextTagger(model, tokenizer, labels, longest)


def _parse(record: Record, columns: TokenColumns) -> tuple[tuple[str, ...], tuple[str, ...]]:
    words, tags = (_list(record.get(str(name)), str(name)) for name in (columns.tokens, columns.tags))
    if len(words) != len(tags):
        raise Fault(f"there are {len(words)} words and {len(tags)} tags: give each word one.")
    if not words:
        raise Fault("there are no words: delete the row.")
    empty = next((at for at, word in enumerate(words, start=1) if not word.strip()), None)
    if empty is not None:
        raise Fault(f"word {empty} is empty: delete it with its tag.")
    return words, tags


def _list(value: Any, column: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise Fault(f"column {column} holds no list: write JSON lines with lists, or a CoNLL file.")
    return tuple(str(one) for one in value)


@final
class Tagger(TaskModel):
    """`body` with a linear `head` behind every state; targets are (B, T), `IGNORED` but at a word's first token."""

    def __init__(self, body: Model, tags: int, *, seed: int = 0) -> None:
        super().__init__()
        self.body = body
        self.head = new_head(body.shape.width, tags, seed=seed)

    def features(self, batch: Batch) -> Tensor:
        """The states: (B, T, D)."""
        body: Any = self.body
        return last_states(body, batch)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, T, K)."""
        return self.head(self.features(batch))


@dataclass(frozen=True)
class Words:
    """Texts as tokens, and the first token of each word that was not cut: the last one where a model reads in one
    direction, and has not seen the word before."""

    texts: Tokenized
    starts: tuple[tuple[int, ...], ...]


class TokensTrial:
    """A `Tagger` on lists of words."""

    def __init__(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> None:
        self.pretrained, self.split = pretrained, split
        body = pretrained.model
        self.longest = recipe.tokens_of(body.shape.context)
        self.words = {
            name: tokenize_words(pretrained.tokenizer, part.texts, longest=self.longest, at_end=_reads_ahead(body))
            for name, part in split.parts.items()
        }
        self.model = Tagger(body, len(split.labels), seed=recipe.seed)
        train = self.words[TRAIN]
        answers = [
            _targets(len(sequence), starts, [self.number[tag] for tag in tags])
            for sequence, starts, tags in zip(train.texts.sequences, train.starts, split.train.labels, strict=True)
        ]
        self.batches = TextBatches(train.texts, answers, recipe.batch, recipe.seed)
        self.epoch_tokens = sum(map(len, train.texts.sequences))
        self.notes = self._cut_notes()
        self.facts = {"labels": split.labels, "longest": self.longest}
        self.about = (f"Tags: {', '.join(split.labels)}", f"Texts are cut behind {self.longest} tokens")

    @property
    def number(self) -> dict[str, int]:
        """Numbers of the tags."""
        return {label: at for at, label in enumerate(self.split.labels)}

    def measure(self, part: str, *, is_last: bool) -> Measured:
        """Tags of all words; those of words that were cut off count as O, or the first tag, where there is no O."""
        del is_last
        return _measured(self.model, self.words[part], self.split.parts[part], self.split.labels)

    def floor(self) -> Floor | None:
        """Each word's most frequent tag."""
        return most_frequent_tags(self.split)

    def save(self, folder: Path) -> None:
        """Write the model."""
        record = {"task": "tokens", **self.facts}
        save_adapted(folder, self.model.body, self.model.head.state_dict(), info=self.pretrained.info, record=record)

    def _cut_notes(self) -> tuple[str, ...]:
        found = []
        for name, words in self.words.items():
            tags = self.split.parts[name].labels
            lost = sum(len(some) - len(starts) for some, starts in zip(tags, words.starts, strict=True))
            what = "are not learnt from" if name == TRAIN else f"count as {_default(self.split.labels)}"
            if lost:
                found.append(
                    f"{words.texts.cut} of the {len(tags):,} texts of {name} are longer than {self.longest} tokens: "
                    f"their last words, {lost:,} together, {what}."
                )
        return tuple(found)


@dataclass(frozen=True)
class TextTagger:
    """A saved `Tagger` with all that it needs to read text."""

    model: Tagger
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    longest: int
    inputs = ("text",)

    def predict(self, texts: Sequence[Sequence[str]]) -> list[list[str]]:
        """The tags of each text's words. Raises `UserError` for a text without words, or longer than can be read."""
        check_filled([(" ".join(words),) for words in texts])
        if not texts:
            return []
        body: Any = self.model.body
        found = tokenize_words(self.tokenizer, texts, longest=self.longest, at_end=_reads_ahead(body))
        for number, (words, starts) in enumerate(zip(texts, found.starts, strict=True), start=1):
            if len(starts) < len(words):
                raise UserError(f"Text {number} has more than {self.longest} tokens: cut it in two.")
        told: list[list[str]] = [[] for _ in texts]
        for at, log_p_WK in log_probabilities(self.model, found):
            told[at] = _filled(log_p_WK, self.labels, len(texts[at]))
        return told

    def rows(self, examples: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Tags and words, with spaces between; a text without spaces is taken character by character."""
        texts = [text.split() if " " in text.strip() else list(text.strip()) for (text,) in examples]
        return [(" ".join(tags), " ".join(words)) for tags, words in zip(self.predict(texts), texts, strict=True)]


def tokenize_words(tokenizer: Tokenizer, texts: Sequence[Sequence[str]], *, longest: int, at_end: bool) -> Words:
    """Token numbers of texts that are lists of words, and each word's first token (`at_end`: its last).

    Raises `UserError` for a word that has no token at all.
    """
    sequences, starts, cut = [], [], 0
    tokenizer.enable_truncation(longest)
    for begun in range(0, len(texts), ENCODED_AT_ONCE):
        some = [_spaced(tokenizer, words) for words in texts[begun : begun + ENCODED_AT_ONCE]]
        for words, encoding in zip(some, tokenizer.encode_batch(some, is_pretokenized=True), strict=True):
            sequences.append(np.asarray(encoding.ids, dtype=np.int32))
            cut += bool(encoding.overflowing)
            starts.append(_starts(encoding, words, at_end=at_end))
    tokenizer.no_truncation()
    return Words(Tokenized(sequences, cut), tuple(starts))


def _spaced(tokenizer: Tokenizer, words: Sequence[str]) -> list[str]:
    """The words as they stand in running text: a tokenizer that counts a space to the word behind it is given one."""
    if not (tokenizer.encode(" a", add_special_tokens=False).tokens or [""])[0].startswith("Ġ"):
        return list(words)
    return [word if at == 0 or is_cjk(word[0]) else f" {word}" for at, word in enumerate(words)]


def _starts(encoding: Encoding, words: Sequence[str], *, at_end: bool) -> tuple[int, ...]:
    place: dict[int, int] = {}
    for at, word in enumerate(encoding.word_ids):
        if word is not None and (at_end or word not in place):
            place[word] = at
    kept = max(place, default=-1) + 1
    missing = next((word for word in range(kept) if word not in place), None)
    if missing is None and kept < len(words) and not encoding.overflowing:
        missing = kept
    if missing is not None:
        raise UserError(
            f"The word {words[missing].strip()!r} has no token in the model's vocabulary: delete it or mend it."
        )
    return tuple(place[word] for word in range(kept))


def log_probabilities(model: Tagger, words: Words) -> list[tuple[int, Any]]:
    """The number of each text and the logarithms of its words' tags' probabilities, (words, K)."""
    found = []
    for chosen, logits_BTK in outputs(model, words.texts):
        log_p_BTK = torch.log_softmax(logits_BTK.double(), dim=-1).cpu().numpy()
        found += [(at, log_p_BTK[row, list(words.starts[at])]) for row, at in enumerate(chosen)]
    return found


def _measured(model: Tagger, words: Words, part: LabelledTexts, labels: tuple[str, ...]) -> Measured:
    number = {label: at for at, label in enumerate(labels)}
    told: list[list[str]] = [[] for _ in part.texts]
    nats_N = [0.0] * len(part)
    for at, log_p_WK in log_probabilities(model, words):
        right = part.labels[at]
        told[at] = _filled(log_p_WK, labels, len(right))
        nats_N[at] = -float(np.mean([row[number[tag]] for row, tag in zip(log_p_WK, right, strict=False)]))
    rows = [
        (" ".join(some), " ".join(right), " ".join(tags))
        for some, right, tags in zip(part.texts, part.labels, told, strict=True)
    ]
    scores = tagging_scores(told, part.labels, kinds=labels, nats_N=nats_N)
    return Measured(scores, ("tokens", "tags", "predicted"), rows)


def most_frequent_tags(split: Split) -> Floor:
    """Each word gets the tag that it has most often in train, an unknown one the most frequent of all tags."""
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    every: Counter[str] = Counter()
    for words, tags in zip(split.train.texts, split.train.labels, strict=True):
        every.update(tags)
        for word, tag in zip(words, tags, strict=True):
            seen[word][tag] += 1
    usual = every.most_common(1)[0][0]
    best = {word: counts.most_common(1)[0][0] for word, counts in seen.items()}
    scores = {
        name: tagging_scores(
            [[best.get(word, usual) for word in words] for words in part.texts], part.labels, kinds=split.labels
        )
        for name, part in split.held_out.items()
    }
    return Floor(f"each word's most frequent tag in train, {usual} for other words", scores)


def _reads_ahead(body: Model) -> bool:
    """Whether a word's tag is read off its last token: where the model sees no later one."""
    return body.shape.stack == "decoder"


def _targets(length: int, starts: Sequence[int], numbers: Sequence[int]) -> list[int]:
    row = [IGNORED] * length
    for at, number in zip(starts, numbers, strict=False):  # words that were cut have no place
        row[at] = number
    return row


def _default(labels: tuple[str, ...]) -> str:
    return OUTSIDE if OUTSIDE in labels else labels[0]


def _filled(log_p_WK: Any, labels: tuple[str, ...], length: int) -> list[str]:
    told = [labels[int(k)] for k in log_p_WK.argmax(axis=-1)]
    return told + [_default(labels)] * (length - len(told))
