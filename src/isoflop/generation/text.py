"""Text that a trained model writes: the model of a folder with its tokenizer, and what begins and ends an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from isoflop.errors import UserError
from isoflop.generation.decoding import Decoding
from isoflop.generation.generate import Ending, generate_tokens
from isoflop.generation.reader import Marks
from isoflop.models import Encoder, EncoderDecoder, Model
from isoflop.models.hugging_face_tokenizer import SpecialTokens
from isoflop.models.opening import Opened, open_model
from isoflop.models.storage import MODEL, read_json_object


@dataclass(frozen=True)
class Written:
    """An answer as text, its tokens, and what ended it."""

    text: str
    tokens: tuple[int, ...]
    ended: Ending


@dataclass(frozen=True)
class TextGenerator:
    """A model that writes: the continuation of a prompt (decoder), or the answer to a source (encoder-decoder).

    `begin` is the token that an empty prompt consists of, `end` the one that closes the source of an encoder-decoder.
    """

    model: Model
    tokenizer: Tokenizer
    marks: Marks
    begin: int | None
    end: int | None
    notes: tuple[str, ...] = ()

    def encode(self, prompt: str) -> tuple[int, ...]:
        """A prompt's tokens, with those that the tokenizer puts around it. Raises `UserError` where there is none."""
        tokens = self.tokenizer.encode(prompt).ids
        if isinstance(self.model, EncoderDecoder):
            if not prompt.strip():
                raise UserError("A source is empty: give it some text.")
            if self.end is not None and tokens[-1:] != [self.end]:
                tokens = [*tokens, self.end]
        elif self.end is not None and len(tokens) > 1 and tokens[-1] == self.end:
            tokens = tokens[:-1]  # a tokenizer may close every text, but this one is to go on
        if not tokens and self.begin is not None:
            tokens = [self.begin]
        if not tokens:
            raise UserError("The prompt is empty, and the model has no token that a text begins with: give some text.")
        return tuple(tokens)

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
    said = {} if (opened.folder / MODEL).exists() else _said_to_generate(opened.folder)
    special = SpecialTokens.of(opened.tokenizer)
    ends = _numbers(said, "eos_token_id", special.number("eos"))
    start = _numbers(said, "decoder_start_token_id", special.number("pad"))
    begin = _numbers(said, "bos_token_id", special.number("bos"))
    if isinstance(opened.model, EncoderDecoder) and not start:
        raise UserError(f"{folder} doesn't say with which token its decoder begins (decoder_start_token_id).")
    marks = Marks(frozenset(ends), next(iter(start), None), opened.info.objective == "prefix")
    return TextGenerator(
        opened.model,
        opened.tokenizer,
        marks,
        begin=next(iter(begin or ends), None),
        end=next(iter(ends), None),
        notes=_notes(opened, ends),
    )


def _notes(opened: Opened, ends: Sequence[int]) -> tuple[str, ...]:
    if ends:
        return opened.notes
    return (*opened.notes, "The model has no token that ends a text: every answer is as long as --max-tokens.")


def _said_to_generate(folder: Path) -> dict[str, Any]:
    """What a checkpoint of Hugging Face says of its marks: generation_config.json before config.json."""
    more = read_json_object(folder / "generation_config.json") if (folder / "generation_config.json").exists() else {}
    return {
        **read_json_object(folder / "config.json"),
        **{key: value for key, value in more.items() if value is not None},
    }


def _numbers(said: dict[str, Any], key: str, otherwise: int | None) -> list[int]:
    """One token's number or several, as a list; none where nothing is said."""
    value = said.get(key)
    if value is None:
        value = otherwise
    found = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(one, int) for one in found):
        raise UserError(f"{key} is {value!r}, which is no number of a token: the checkpoint's config.json is damaged.")
    return found
