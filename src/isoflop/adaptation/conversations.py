"""Conversations of a user's table, and as what a model reads them: its chat template, with the answers marked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from isoflop.adaptation.parallel_text import read_pairs
from isoflop.adaptation.pretrained import Pretrained
from isoflop.adaptation.rows import read_rows
from isoflop.adaptation.table import Columns, LabelledTexts
from isoflop.adaptation.writing import Lesson, manner_of
from isoflop.errors import UserError
from isoflop.generation import PLAIN_CHAT, Manner, TextGenerator
from isoflop.models.hugging_face_tokenizer import SpecialTokens

Turns = tuple[tuple[str, str], ...]
"""Role and content of each message, in order; the last is an answer."""
ROLES = ("system", "user", "assistant")
MESSAGES = "messages"


def read_conversations(path: Path, *, prompt: str | None = None, response: str | None = None) -> LabelledTexts:
    """Conversations as texts (`Turns`), their last answers as labels.

    A row has `messages`, or a prompt and a response, whose columns are guessed where they are not named. Raises
    `UserError`, with the place, for a message that lacks role or content, and a conversation that ends with no answer.
    """
    first = next(iter(read_rows(path)), None)
    if first is None:
        raise UserError(f"{path} has no rows: it needs one for each conversation.")
    if MESSAGES not in first[1] or prompt is not None or response is not None:
        pairs = read_pairs(path, source=prompt, target=response)
        turns = tuple(
            (("user", question), ("assistant", answer))
            for question, answer in zip(pairs.texts, pairs.labels, strict=True)
        )
        return dataclasses.replace(pairs, texts=turns)
    places, texts = [], []
    for place, record in read_rows(path):
        places.append(place)
        texts.append(_turns(record.get(MESSAGES), f"{path}, {place}"))
    columns = Columns(text=MESSAGES, label=MESSAGES)
    return LabelledTexts(str(path), columns, tuple(texts), tuple(one[-1][1] for one in texts), tuple(places))


def _turns(messages: Any, place: str) -> Turns:
    if not isinstance(messages, list) or not messages:
        raise UserError(f"{place}: {MESSAGES} is no list of messages.")
    turns = []
    for number, message in enumerate(messages, start=1):
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if role not in ROLES:
            raise UserError(f"{place}, message {number}: the role is {role!r}: write {', '.join(ROLES)}.")
        if not isinstance(content, str) or not content.strip():
            raise UserError(f"{place}, message {number}: the content is empty.")
        turns.append((role, content))
    if turns[-1][0] != "assistant" or len(turns) < 2:
        raise UserError(f"{place}: a conversation ends with an answer of the assistant to something before it.")
    return tuple(turns)


def manner_for_chat(pretrained: Pretrained) -> tuple[Manner, tuple[str, ...]]:
    """The model's own chat template, or a plain one, and what to say of that."""
    manner = dataclasses.replace(manner_of(pretrained), kind="chat", prompt=None)
    texts = {key: text for key, text in SpecialTokens.of(pretrained.tokenizer).texts.items() if key != "mask_token"}
    special = {**texts, **manner.special}
    if manner.chat is not None:
        return dataclasses.replace(manner, special=special), ()
    if "eos_token" not in special:
        raise UserError("The model has neither a chat template nor a token that ends a text: it can't learn to stop.")
    note = (
        "The model has no chat template: messages are written as 'User: …' and 'Assistant: …', which is saved with it."
    )
    return dataclasses.replace(manner, chat=PLAIN_CHAT, special=special), (note,)


def conversation_lesson(generator: TextGenerator, turns: Turns) -> Lesson:
    """The tokens of a conversation up to its last answer's end, of which those of answers are learnt, with their ends.

    Raises `UserError` where a longer conversation does not begin with the shorter one.
    """
    messages = [{"role": role, "content": content} for role, content in turns]
    spans, whole = [], ""
    for number, (role, _) in enumerate(turns):
        if role == "assistant":
            asked = generator.manner.rendered(messages[:number], asks=True)
            answered = generator.manner.rendered(messages[: number + 1], asks=False)
            if not answered.startswith(asked) or not asked.startswith(whole):
                raise UserError(
                    "The model's chat template writes a message otherwise once others follow, so that its answers "
                    "can't be told from the rest: give its tokenizer a plainer template."
                )
            whole = answered.rstrip()  # behind the mark that ends the answer
            spans.append((len(asked), len(whole)))
    encoding = generator.tokenizer.encode(whole, add_special_tokens=False)
    learnt = [any(start < to and since < end for start, end in spans) for since, to in encoding.offsets]
    return Lesson(tuple(encoding.ids), tuple(learnt))
