"""How a model wants to be asked: `generation.json` beside its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from isoflop.errors import UserError
from isoflop.files import write_json, write_text
from isoflop.generation.chat import FILE, SETTINGS, Message, read_template, render
from isoflop.models.storage import read_json_object

SCHEMA = 1
MANNER = "generation.json"
KINDS = ("text", "seq2seq", "chat")


TOKENS = ("bos_token_id", "eos_token_id", "decoder_start_token_id")


@dataclass(frozen=True)
class Manner:
    """`text`: a model goes on from a prompt. `seq2seq`: it answers a source, which a decoder reads within `prompt`
    (`{source}` stands for it). `chat`: it answers messages, made one text by the Jinja template `chat`, which gets
    the texts of `special` tokens by their roles (bos_token, eos_token, …). `tokens`: numbers of the tokens that begin
    and end a text, by Hugging Face's names, where they are not those with the usual texts."""

    kind: str = "text"
    prompt: str | None = None
    chat: str | None = None
    special: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, Any] = field(default_factory=dict)

    def asked(self, prompt: str) -> str:
        """What the model reads of a user's prompt."""
        if self.kind == "chat":
            return self.rendered([{"role": "user", "content": prompt}], asks=True)
        return prompt if self.prompt is None else self.prompt.replace("{source}", prompt)

    def rendered(self, messages: Sequence[Message], *, asks: bool) -> str:
        """A conversation as one text; `asks`: with what an answer begins behind it."""
        assert self.chat is not None
        return render(self.chat, messages, special=self.special, asks=asks)

    def write(self, folder: Path) -> None:
        """Write `generation.json` to `folder`."""
        write_json(folder / MANNER, {"schema": SCHEMA, **asdict(self)})


def read_manner(folder: Path) -> Manner:
    """What `folder` says: its `generation.json`, or the files of a Hugging Face checkpoint (generation_config.json
    before config.json, and the tokenizer's chat template). Raises `UserError` where they are damaged."""
    path = folder / MANNER
    if not path.exists():
        chat, special = read_template(folder)
        return Manner(chat=chat, special=special, tokens=_tokens(folder))
    record = read_json_object(path)
    try:
        if record.pop("schema") != SCHEMA or record["kind"] not in KINDS:
            raise ValueError("of another version")
        return Manner(**record)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): fine-tune the model again.") from error


def add_to_checkpoint(manner: Manner, folder: Path) -> None:
    """Let the Hugging Face checkpoint in `folder` say the same: the tokens that begin and end a text, the texts of
    special tokens, the chat template."""
    known = {"config.json": manner.tokens, "generation_config.json": manner.tokens, SETTINGS: manner.special}
    for name, values in known.items():
        if values and (folder / name).exists():
            write_json(folder / name, {**read_json_object(folder / name), **values})
    if manner.chat is not None:
        write_text(folder / FILE, manner.chat)


def _tokens(folder: Path) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name in ("config.json", "generation_config.json"):
        if (folder / name).exists():
            record = read_json_object(folder / name)
            said |= {key: record[key] for key in TOKENS if record.get(key) is not None}
    return said
