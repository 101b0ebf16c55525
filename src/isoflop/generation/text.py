"""Text that a trained model writes: the model of a folder with its tokenizer, and what begins and ends an answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from isoflop.errors import UserError
from isoflop.generation.decoding import Decoding
from isoflop.generation.generate import Ending, generate_tokens
from isoflop.generation.manner import Manner, read_manner
from isoflop.generation.reader import Marks
from isoflop.models import Encoder, EncoderDecoder, Model, ModelInfo
from isoflop.models.hugging_face_tokenizer import SpecialTokens
from isoflop.models.opening import Opened, open_model


@dataclass(frozen=True)
class Written:
    """An answer as text, its tokens, and what ended it."""

    text: str
    tokens: tuple[int, ...]
    ended: Ending


@dataclass(frozen=True)
class TextGenerator:
    """A model that writes: the continuation of a prompt (decoder), or the answer to a source (encoder-decoder).

    `manner` says how it is asked. `begin` is the token that an empty prompt consists of, `end` the one that closes an
    answer and the source of an encoder-decoder.
    """

    model: Model
    tokenizer: Tokenizer
    marks: Marks
    manner: Manner
    begin: int | None
    end: int | None
    notes: tuple[str, ...] = ()

    def as_chat(self) -> TextGenerator:
        """The same, asked by its chat template. Raises `UserError` where it has none."""
        if self.manner.chat is None:
            raise UserError("The model has no chat template: leave out --chat, or fine-tune it with --task chat.")
        return dataclasses.replace(self, manner=dataclasses.replace(self.manner, kind="chat"))

    def encode(self, prompt: str, *, longest: int | None = None) -> tuple[int, ...]:
        """The tokens that the model reads of a prompt, which is cut at its end to have at most `longest` of them.

        Raises `UserError` where there is none.
        """
        if self.manner.kind != "text" and not prompt.strip():
            raise UserError("A prompt is empty: give it some text.")
        if isinstance(self.model, EncoderDecoder):
            return self._source(prompt, longest)
        before, behind = (self.manner.prompt or "{source}").split("{source}", maxsplit=1)
        if self.manner.kind == "chat":
            return self.encode_whole(self.manner.asked(prompt))[:longest]
        if not before and not behind:
            return self.encode_whole(prompt)[:longest]
        asks = self._plain(behind)
        room = None if longest is None else max(0, longest - len(asks))
        return (*self.encode_whole(before + prompt)[:room], *asks)

    def encode_whole(self, text: str) -> tuple[int, ...]:
        """The tokens of a text that a decoder goes on from, with those that the tokenizer puts before a text; of a
        conversation, whose template has put them there, without."""
        tokens = self.tokenizer.encode(text, add_special_tokens=self.manner.kind != "chat").ids
        if self.end is not None and len(tokens) > 1 and tokens[-1] == self.end and self.manner.kind != "chat":
            tokens = tokens[:-1]  # a tokenizer may close every text, but this one is to go on
        if not tokens and self.begin is not None:
            tokens = [self.begin]
        if not tokens:
            raise UserError("The prompt is empty, and the model has no token that a text begins with: give some text.")
        return tuple(tokens)

    def encode_answer(self, text: str) -> tuple[int, ...]:
        """The tokens of an answer with the one that ends it. Raises `UserError` for a model without such a token."""
        if self.end is None:
            raise UserError("The model has no token that ends a text, so it can't learn where to stop.")
        return (*self._plain(text), self.end)

    def _plain(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _source(self, text: str, longest: int | None) -> tuple[int, ...]:
        tokens = self.tokenizer.encode(text).ids
        if not tokens or not text.strip():
            raise UserError("A source is empty: give it some text.")
        if self.end is None:
            return tuple(tokens[:longest])
        body = tokens[:-1] if tokens[-1] == self.end else tokens
        return (*body[: None if longest is None else longest - 1], self.end)

    def write(self, prompts: Sequence[str], decoding: Decoding) -> list[Written]:
        """What follows each prompt."""
        return self.go_on([self.encode(prompt) for prompt in prompts], decoding)

    def go_on(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Written]:
        """The same for prompts that are tokens already."""
        answers = generate_tokens(self.model, prompts, decoding=decoding, marks=self.marks)
        return [
            Written(self._text(prompt, answer.tokens), answer.tokens, answer.ended)
            for prompt, answer in zip(prompts, answers, strict=True)
        ]

    def _text(self, prompt: Sequence[int], answer: tuple[int, ...]) -> str:
        """The answer without special tokens; behind a prompt as it reads there, where a space may begin it."""
        if not isinstance(self.model, EncoderDecoder):
            before, whole = self.tokenizer.decode(list(prompt)), self.tokenizer.decode([*prompt, *answer])
            if whole.startswith(before):
                return whole[len(before) :]
        return self.tokenizer.decode(list(answer))


def read_generator(folder: Path) -> TextGenerator:
    """The model in `folder`, ours or of Hugging Face. Raises `UserError` for one that doesn't generate, or has no
    tokenizer that fits it."""
    opened = open_model(folder)
    if isinstance(opened.model, Encoder):
        raise UserError(f"{folder} is an encoder, which has no next token: name a decoder or an encoder-decoder.")
    made = text_generator(opened.model, opened.tokenizer, opened.info, read_manner(opened.folder))
    if isinstance(opened.model, EncoderDecoder) and made.marks.start is None:
        raise UserError(f"{folder} doesn't say with which token its decoder begins (decoder_start_token_id).")
    return dataclasses.replace(made, notes=_notes(opened, made.marks.stop))


def text_generator(model: Model, tokenizer: Tokenizer, info: ModelInfo, manner: Manner) -> TextGenerator:
    """A model that is at hand as one that writes."""
    special = SpecialTokens.of(tokenizer)
    ends = _numbers(manner, "eos_token_id", special.number("eos"))
    start = _numbers(manner, "decoder_start_token_id", special.number("pad"))
    begin = _numbers(manner, "bos_token_id", special.number("bos"))
    marks = Marks(frozenset(ends), next(iter(start), None), info.objective == "prefix")
    first, last = next(iter(begin or ends), None), next(iter(ends), None)
    return TextGenerator(model, tokenizer, marks, manner, begin=first, end=last)


def _notes(opened: Opened, ends: Collection[int]) -> tuple[str, ...]:
    if ends:
        return opened.notes
    return (*opened.notes, "The model has no token that ends a text: every answer is as long as --max-tokens.")


def _numbers(manner: Manner, key: str, otherwise: int | None) -> list[int]:
    """One token's number or several, as a list; none where nothing is said."""
    value = manner.tokens.get(key)
    if value is None:
        value = otherwise
    found = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(one, int) for one in found):
        raise UserError(f"{key} is {value!r}, which is no number of a token: the checkpoint's config.json is damaged.")
    return found
