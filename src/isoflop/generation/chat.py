"""Conversations as text: chat templates in Jinja, as Hugging Face's tokenizers have them."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from isoflop.errors import UserError
from isoflop.models.storage import read_json_object

if TYPE_CHECKING:
    from jinja2 import Template

Message = Mapping[str, str]
"""`role` (system, user, assistant) and `content`."""
SETTINGS, FILE = "tokenizer_config.json", "chat_template.jinja"
PLAIN_CHAT = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content | trim }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For a model whose tokenizer has no template: a message behind its role, an answer ended by the model's end mark."""


def read_template(folder: Path) -> tuple[str | None, dict[str, str]]:
    """The chat template of the tokenizer in `folder`, None where it has none, and its special tokens by role."""
    settings = read_json_object(folder / SETTINGS) if (folder / SETTINGS).exists() else {}
    special = {}
    for role in ("bos_token", "eos_token", "pad_token", "unk_token"):
        value = settings.get(role)
        if isinstance(value, Mapping):  # an added token with its settings
            value = value.get("content")
        if isinstance(value, str):
            special[role] = value
    template = settings.get("chat_template")
    if (folder / FILE).exists():
        template = (folder / FILE).read_text(encoding="utf-8")
    if isinstance(template, list):  # several by name, of which one is the usual
        template = next((one["template"] for one in template if one.get("name") == "default"), None)
    return (template if isinstance(template, str) else None), special


def render(template: str, messages: Sequence[Message], *, special: Mapping[str, str], asks: bool) -> str:
    """A conversation as one text; `asks`: with what an answer begins behind it.

    A template is run in Jinja's sandbox, which lets it read nothing but the messages. Raises `UserError` where it
    refuses them or is no Jinja.
    """
    from jinja2 import TemplateError

    values: dict[str, Any] = {"eos_token": "", "bos_token": "", **special}
    try:
        made = _compiled(template)
        return made.render(messages=[dict(one) for one in messages], add_generation_prompt=asks, **values)
    except TemplateError as error:
        raise UserError(f"The model's chat template can't be used ({error}).") from error


@functools.lru_cache(maxsize=4)
def _compiled(template: str) -> Template:
    """Ready to be rendered: to compile a template takes longer than to render it for a hundred conversations."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> NoReturn:
        raise UserError(f"The model's chat template refuses the conversation: {message}")

    room = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    room.globals["raise_exception"] = refuse
    room.filters["tojson"] = _as_json
    return room.from_string(template)


def _as_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
